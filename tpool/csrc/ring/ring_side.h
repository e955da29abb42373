/* SPDX-License-Identifier: MIT
 *
 * Ring side: what this process has of one side of a Ring, for any of its threads.
 *
 * All of it is touched with the GIL, and in a free-threaded build the critical section of
 * the Ring, held: what is done there is C alone, and short.  Who has to wait does so
 * without, one thread at a time: it has the turn.  The turn is let go of before signal
 * handlers run: one may call the same side.
 *
 * While a thread waits, or a loop has the fd, the fds and the memory stay; the last that
 * leaves lets go of what was closed meanwhile.
 */
#ifndef TPOOL_RING_RING_SIDE_H
#define TPOOL_RING_RING_SIDE_H

#include "py/state.h"
#include "shm/ring_wait.h"

struct ring_side {
    PyThread_type_lock turn; /* immutable, but for forks */
    bool writes;             /* immutable */
    bool open;               /* it has its place */
    bool closed;             /* and never will again */
    /* One index tells of one sleeper: threads, who take turns, or a loop. */
    uint32_t waiters; /* threads */
    uint32_t holds;   /* loops that have the fd */
    uint64_t viewed;  /* which view has the oldest message, 0: none */
    uint64_t views;
    struct ring_want want;   /* what the last act has missed */
    struct ring_end end;     /* if open */
    struct ring_waits waits; /* of who has the turn */
};

/* Returns 0, or -1 with MemoryError. */
int ring_side_init(struct ring_side *s, bool writes);
/* Nobody has it any more. */
void ring_side_cleanup(struct ring_side *s);

/*
 * GIL and critical section.  What is done to the end: 1: done; 0: *want is to be waited
 * for; -errno.
 */
typedef int ring_act(struct ring_end *e, void *arg, struct ring_want *want);

/* Takes the place, if it has none yet.  Returns 0 or -errno; -ESHUTDOWN: it is closed. */
int ring_side_open(struct ring_side *s, const struct ring_memory *m,
                   struct word_pollers *pollers, int64_t poll_max_ns);

/* Open.  Acts, once. */
int ring_side_act(struct ring_side *s, ring_act *act, void *arg,
                  struct ring_want *want);

/* From now on it is closed, and who waits will see it. */
void ring_side_close(struct ring_side *s);

/* Lets go of the fds, if it is closed and nobody needs them.  Whether nobody does. */
bool ring_side_let_go(struct ring_side *s);

/* In the child of a fork: it is the parent's, and may be had anew.  0, or MemoryError. */
int ring_side_after_fork(struct ring_side *s);

/*
 * GIL held, nothing else, a waiter: waits a little, until there is something to look at, or
 * signals may have come.  Returns 0 or more, or -errno.  object: for the critical section.
 */
int ring_side_wait(PyObject *object, struct ring_side *s, struct ring_wait *w);

#endif
