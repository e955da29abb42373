/* SPDX-License-Identifier: MIT
 *
 * The wait of one turn, and its poll phase.  For turn.c, wait.c,
 * poll_phase.c and poll_tune.c.
 */
#ifndef TPOOL_TURN_POLL_PHASE_H
#define TPOOL_TURN_POLL_PHASE_H

#include "context/context.h"

/*
 * Between two looks at the fds of an interleaved context: a look costs about
 * 0.3 us, and a socket waits no longer than this for a poll phase.
 */
#define FD_LOOK_NS 10000

struct wait {
    uint64_t poll; /* which one: context.polls, unless one was nested in it */
    int64_t start_ns;    /* of the turn's wait */
    int64_t end_ns;      /* of what was waited last: poll phase or block */
    int64_t deadline_ns; /* -1: none */
    int64_t nap_ns;      /* until then it sleeps, and polls after; 0: none */
    int64_t polled_ns;   /* how long, in the block that is being ended */
    int64_t polled_from_ns;
    bool work;    /* completions are expected: requests are in flight */
    bool arrived; /* work came, whatever became of it */
    bool looks;   /* at fds while it polls, now and then */
    struct call_plan plan;        /* what to do about the calls in flight */
    struct fd_handler **pollable; /* ended by NULL, or NULL */
    struct fdmon_event events[FDMON_BATCH];
    int n_events;
    uint64_t removals; /* of the handler table when events was filled */
};

/* Owner.  Whether a poll phase looks at fds now and then. */
bool context_looks(const AioContextObject *c);

/* Owner.  Drops the GIL, for OWNER_WAITS or _YIELDS, and tells the workers so. */
PyThreadState *context_gil_drop(AioContextObject *c, uint32_t what_for);
void context_gil_take(AioContextObject *c, PyThreadState *ts);

/* Owner, context acquired.  Decides what to do about the calls in flight. */
void poll_phase_plan(AioContextObject *c, struct wait *w);

/* Owner, context acquired.  1: progress, 0: none, or no polling; -1: exception. */
int poll_phase_run(AioContextObject *c, struct wait *w);

/*
 * Owner, GIL and context released: a nap has ended with nothing.  The poll phase
 * after it, without the GIL in between: the call may hold it to its end.  As
 * fdmon_wait() into w->events.
 */
int poll_phase_after_nap(AioContextObject *c, struct wait *w);

/*
 * Owner.  Whether the threads of others are waited for as our workers are.  They
 * do not poll: each has to be woken for its work, which takes about as long as it
 * does to wake the owner.  So much is taken off the time that passed, and added
 * to the window.
 */
bool poll_phase_for_notify(const AioContextObject *c);

/* Owner, context acquired.  Self-tuning, for every source that was waited for. */
void poll_phase_tune(AioContextObject *c, struct wait *w);

#endif
