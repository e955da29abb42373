/* SPDX-License-Identifier: MIT
 *
 * Ring writer: puts messages into a ring.  One thread at a time.
 */
#ifndef TPOOL_SHM_RING_WRITER_H
#define TPOOL_SHM_RING_WRITER_H

#include "shm/ring_end.h"

/*
 * 1: the message is there for all readers, those that have yet to come among them.
 * 0: there is no room: *want says what has to come about.  -EMSGSIZE: it never fits in;
 * -EBADMSG: there is garbage in the memory; -EPIPE, -ECONNRESET: see ring_end_lonely().
 */
int ring_write(struct ring_end *w, const void *data, size_t length,
               struct ring_want *want);

#endif
