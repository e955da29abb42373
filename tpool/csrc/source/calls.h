/* SPDX-License-Identifier: MIT
 *
 * The calls in flight, as a source: what is known of them is in the call table.  That
 * one has ended a poll phase sees by the completion list, which it always looks at.
 */
#ifndef TPOOL_SOURCE_CALLS_H
#define TPOOL_SOURCE_CALLS_H

#include "aio/source.h"

void calls_init(struct aio_source *s);

#endif
