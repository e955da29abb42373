/* SPDX-License-Identifier: MIT
 *
 * The fd handlers, as a source.  A block waits for them; where an event loop stands
 * above, a poll phase looks at them too, now and then.
 */
#ifndef TPOOL_SOURCE_FDS_H
#define TPOOL_SOURCE_FDS_H

#include "aio/source.h"

void fds_init(struct aio_source *s);

/* A second source: the looks of a poll phase. */
void fds_looks_init(struct aio_source *s);

#endif
