/* SPDX-License-Identifier: MIT
 *
 * A source: something that a context waits for.  It says how long it pays to poll for
 * it, how to look for it meanwhile, and what a wait teaches.  How it wakes an owner that
 * sleeps is its own affair: by an fd of the context's, a post, or notify_bare().
 */
#ifndef TPOOL_AIO_SOURCE_H
#define TPOOL_AIO_SOURCE_H

#include "aio/peek.h"
#include "tune/poll_tuner.h"
#include "tune/wait_plan.h"

struct aio_context;
struct aio_wait;
struct aio_source;

/*
 * Owner, context acquired.  NULL: there is nothing to be done.  Those that return an
 * int: 0, -errno or AIO_RAISED.  A turn may be nested in any that runs the host's
 * language, and may add sources: what belongs to one wait is kept in the wait, and what
 * is not there was not planned.
 */
struct aio_source_ops {
    /* A wait begins: what to do about the source in it. */
    int (*plan)(struct aio_source *s, struct aio_wait *w,
                struct wait_plan *out);
    /* After that, and when signal handlers have run: how often to look(), 0: never. */
    int64_t (*look_ns)(struct aio_source *s, struct aio_wait *w);
    /*
     * A poll phase begins, and ends: that too where begin() failed, or never ran.  Who
     * is not to tell the owner in between: end() says so with a sequentially
     * consistent store, and asks before it tells with such a load, after its own.
     */
    int (*begin)(struct aio_source *s, struct aio_wait *w);
    int (*end)(struct aio_source *s, struct aio_wait *w);
    /*
     * In a poll phase, and once after end(): 1 if something has come.  Without the
     * context, unless it is with_host: nothing of it is read that others write.
     */
    int (*look)(struct aio_source *s, struct aio_wait *w);
    /* The wait is over, block_ns after it began. */
    void (*learn)(struct aio_source *s, struct aio_wait *w, int64_t block_ns);
    /*
     * As each turn begins, before a wait and after it: hands over what it owes, and
     * returns the works that have come, the oldest first, with their references.
     */
    struct completion_node *(*reap)(struct aio_source *s);
    /* In each turn: has what has come dispatched. */
    int (*dispatch)(struct aio_source *s, struct aio_wait *w, bool *progress);
    /* The turn is over: lets go of host_state. */
    void (*finish)(struct aio_source *s, struct aio_wait *w);
    /* The longest window that it has learned; NULL: that is poll_ns. */
    int64_t (*window)(const struct aio_source *s);
    /* The parameters are new: nothing is known any more. */
    void (*forget)(struct aio_source *s);
};

struct aio_source {
    const struct aio_source_ops *ops;
    struct aio_context *context; /* what waits for it; of aio_source_add() */
    struct aio_source *next;     /* in order of dispatch */
    struct aio_peek peek;        /* where a poll phase looks all the time */
    bool owes;        /* something to others: reap() is due, and nobody waits */
    int64_t retry_ns; /* the same, from this time on; 0: it does not */
    bool with_host;   /* look() runs the host's language: one source at most */
    int64_t poll_ns;  /* window, learned */
};

/*
 * Owner, context acquired.  It is waited for, and dispatched before all others;
 * AIO_SOURCES_MAX at most.
 */
void aio_source_add(struct aio_context *c, struct aio_source *s);

/* Owner, context acquired.  Whether one of them owes, or its word tells of work. */
bool aio_sources_peek(const struct aio_context *c);

/* The same.  Until one of them owes what it did not get rid of; -1: none does. */
int64_t aio_sources_retry_ns(const struct aio_context *c);

/*
 * The window of a source after a wait, by QEMU's rule; fired: it has ended the wait.
 * poll_ns: the window before.
 */
int64_t aio_source_tune(struct aio_context *c, int64_t poll_ns,
                        int64_t block_ns, bool fired);

/* So the trace tells that a window has changed to next_ns. */
void aio_source_trace(struct aio_context *c, enum poll_verdict verdict,
                      int64_t next_ns);

#endif
