/* SPDX-License-Identifier: MIT
 *
 * Doorbell: an fd that another process makes readable, of which it knows a number.  So
 * nothing need be inherited or sent: the number stands in memory that both share.
 *
 * It is a datagram socket, whose name the system has chosen, in the namespace that has no
 * files: a name is gone with its socket, however the process ends.  Who rings needs a
 * socket too, and has one, for it is rung itself.
 */
#ifndef TPOOL_SHM_DOORBELL_H
#define TPOOL_SHM_DOORBELL_H

#include "base/osdep.h"

struct doorbell {
    int fd;          /* -1: none */
    uint32_t number; /* never 0 */
    uint64_t ino;    /* of the socket: the fd may be closed, and used again */
};

#define DOORBELL_NONE ((struct doorbell){.fd = -1})

/* Returns 0 or -errno. */
int doorbell_open(struct doorbell *bell);
void doorbell_close(struct doorbell *bell);

/*
 * Any thread.  Rings the one of that number, which may be garbage, or gone: then nobody
 * hears it.  One that has been rung and not drained stays as it is.  Never blocks.
 */
void doorbell_ring(const struct doorbell *mine, uint32_t number);

/* One thread at a time.  It is not readable any more, until it is rung again. */
void doorbell_drain(const struct doorbell *bell);

#endif
