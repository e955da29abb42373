/* SPDX-License-Identifier: MIT
 *
 * Requests that the kernel makes, as a source: an io_uring of the context's own.
 *
 * What was added in one turn goes to the kernel in one call, when the next turn begins,
 * which is before any wait.  Each is a work of its requester's, and a call in flight:
 * source/calls.h says how long it pays to poll for it.  Here is what the poll phase
 * looks at, the tail of the completions, and how an owner that sleeps is woken: the fd
 * of the ring is readable while there are any, and is one of those that the context
 * waits for itself.  So there are no notifications to be turned off and on, and none
 * can be lost: the kernel shows a completion, and then wakes who waits for the fd; who
 * begins to wait is told of what is there.
 *
 * No more are given to the kernel than it has room for completions; the others wait
 * here.  The ring goes with the context, after all that is in flight has ended.
 */
#ifndef TPOOL_SOURCE_URING_H
#define TPOOL_SOURCE_URING_H

#include "aio/source.h"
#include "base/event_notifier.h"
#include "base/uring.h"
#include "queue/work.h"

/* One request; whoever embeds it keeps it, and its buffers, until it has come back. */
struct uring_entry {
    struct work *work; /* with a reference: dispatched when it has ended */
    const struct file_io *io;         /* what it is to do */
    bool elsewhere;                   /* see uring_add() */
    bool waiting;                     /* for room */
    bool again;                       /* it was given to the kernel twice */
    int64_t ret;                      /* what became of it: bytes or -errno */
    struct uring_entry *next, **link; /* in one of the lists below */
};

/* Context acquired for all of it. */
struct uring_source {
    struct aio_source source;
    struct uring ring;
    struct event_notifier bell; /* the fd of the ring, as one to wait for */
    struct uring_entry *flying; /* the kernel's, or with the next call */
    struct uring_entry *waiting, **end; /* for room, the oldest first */
    uint32_t n_flying, n_waiting;
};

/* There is no ring yet. */
void uring_source_init(struct uring_source *u);

/* Makes the ring, once.  Returns 0 or -errno. */
int uring_source_open(struct uring_source *u, struct aio_context *c,
                      uint32_t entries);

static inline bool uring_source_is_open(const struct uring_source *u)
{
    return u->ring.fd >= 0;
}

/* Takes over the reference that comes with e->work. */
void uring_source_add(struct uring_source *u, struct uring_entry *e);

/* Whether it waited for room: it does not any more, and its reference is the caller's. */
bool uring_source_cancel(struct uring_source *u, struct uring_entry *e);

/* Hands what was added to the kernel now: nobody turns the context before he waits. */
void uring_source_flush(struct uring_source *u);

/*
 * Blocks until something that is in flight has ended, which the next reap() returns.
 * Returns 1, 0 where nothing is in flight, or -errno: nothing more will come.
 */
int uring_source_wait(struct uring_source *u);

/* The end: waits for what is in flight, and drops all. */
void uring_source_close(struct uring_source *u);

/* The child of a fork: the ring is its parent's, and what is in it never comes back. */
void uring_source_abandon(struct uring_source *u);

#endif
