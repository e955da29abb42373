/* SPDX-License-Identifier: MIT
 *
 * The fd handlers that are polled by a callback, as a source: QEMU's io_poll.
 */
#ifndef TPOOL_SOURCE_IO_POLL_H
#define TPOOL_SOURCE_IO_POLL_H

#include "aio/source.h"

void io_poll_init(struct aio_source *s);

#endif
