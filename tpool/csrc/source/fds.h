/* SPDX-License-Identifier: MIT
 *
 * The fd handlers, as a source: a block waits for them.  Those of an event loop are
 * polled for too, see fd_polls.h.
 */
#ifndef TPOOL_SOURCE_FDS_H
#define TPOOL_SOURCE_FDS_H

#include "aio/source.h"

void fds_init(struct aio_source *s);

#endif
