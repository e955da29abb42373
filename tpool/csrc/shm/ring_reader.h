/* SPDX-License-Identifier: MIT
 *
 * Ring reader: takes messages out of a ring.  One thread at a time.
 */
#ifndef TPOOL_SHM_RING_READER_H
#define TPOOL_SHM_RING_READER_H

#include "shm/ring_end.h"

/* One that lies in the ring, until the reader moves on to next by ring_end_move(). */
struct ring_message {
    const uint8_t *data; /* may be changed by who has the memory */
    uint32_t length;
    uint64_t next;
};

/*
 * 1: *m is the oldest message.  0: there is none: *want says what has to come about.
 * -EBADMSG: there is garbage in the memory; -EPIPE, -ECONNRESET: there is none, and will be
 * none: see ring_end_lonely().
 */
int ring_read(struct ring_end *r, struct ring_message *m,
              struct ring_want *want);

#endif
