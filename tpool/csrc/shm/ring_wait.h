/* SPDX-License-Identifier: MIT
 *
 * Ring wait: a thread waits for another side of a ring to move.  It looks at the position
 * busily for a while, if that is likely to pay, and then sleeps on its doorbell.  For how
 * long polling pays is learned from the waits before, as in queue/word_wait.h.
 */
#ifndef TPOOL_SHM_RING_WAIT_H
#define TPOOL_SHM_RING_WAIT_H

#include "queue/wait_tuning.h"
#include "queue/word_pollers.h"
#include "shm/ring_end.h"

/* What the waits of one side have in common.  One thread at a time, but for lag_ns. */
struct ring_waits {
    struct word_pollers *pollers; /* immutable */
    struct wait_tuning tuning;
    /* Any thread, relaxed: what it took to wake then, 1: it polled; 0: no wait yet. */
    _Atomic int64_t lag_ns;
};

/* One wait.  Its thread only. */
struct ring_wait {
    struct ring_want want;
    int64_t begin_ns, deadline_ns;
    bool begun, slept;
};

/* poll_max_ns: bound of a poll phase; 0: there is none. */
void ring_waits_init(struct ring_waits *ws, struct word_pollers *p,
                     int64_t poll_max_ns);

/* One thread at a time, before it moves: where it runs, and how it has come to. */
void ring_wait_publish(const struct ring_waits *ws, struct ring_end *e);

/*
 * One thread at a time; the memory is there until it returns.  Polls, at the begin of a
 * wait; most_ns: no longer than that, -1: as long as it pays.  Whether it has come about.
 */
bool ring_wait_poll(struct ring_waits *ws, const struct ring_end *e,
                    struct ring_wait *w, int64_t most_ns);

/*
 * Sleeps on the fd of the end, after ring_end_arm().  1: it is to be looked again; 0: the
 * deadline has come; -EINTR: signals may have come; -errno.
 */
int ring_wait_sleep(struct ring_wait *w, int fd);

/* The wait is over; hit: it has come about. */
void ring_wait_learn(struct ring_waits *ws, const struct ring_end *e,
                     const struct ring_wait *w, bool hit);

#endif
