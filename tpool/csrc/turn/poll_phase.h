/* SPDX-License-Identifier: MIT
 *
 * The wait of one turn, and its poll phase.  For turn.c, wait.c,
 * poll_phase.c and poll_tune.c.
 */
#ifndef TPOOL_TURN_POLL_PHASE_H
#define TPOOL_TURN_POLL_PHASE_H

#include "turn/dispatch.h"

/*
 * Between two looks at the fds of an interleaved context: a look costs about
 * 0.3 us, and a socket waits no longer than this for a poll phase.
 */
#define FD_LOOK_NS 10000

/* Owner.  Whether a poll phase looks at fds now and then. */
bool aio_looks(const struct aio_context *c);

/*
 * Owner.  Lets go of the language, and where it blocks of the context, for OWNER_WAITS
 * or _YIELDS, and tells the workers so; and takes them back.
 */
void aio_leave(struct aio_context *c, uint32_t what_for, bool blocks);
void aio_enter(struct aio_context *c, bool blocked);

/* Owner, context acquired.  Decides what to do about the calls in flight. */
void poll_phase_plan(struct aio_context *c, struct aio_wait *w);

/* Owner, context acquired.  1: progress, 0: none, or no polling; else an error. */
int poll_phase_run(struct aio_context *c, struct aio_wait *w);

/*
 * Owner, GIL and context released: a nap has ended with nothing.  The poll phase
 * after it, without the GIL in between: the call may hold it to its end.  As
 * fdmon_wait() into w->events.
 */
int poll_phase_after_nap(struct aio_context *c, struct aio_wait *w);

/*
 * Owner.  Whether the threads of others are waited for as our workers are.  They
 * do not poll: each has to be woken for its work, which takes about as long as it
 * does to wake the owner.  So much is taken off the time that passed, and added
 * to the window.
 */
bool poll_phase_for_notify(const struct aio_context *c);

/* Owner, context acquired.  Self-tuning, for every source that was waited for. */
void poll_phase_tune(struct aio_context *c, struct aio_wait *w);

#endif
