/* SPDX-License-Identifier: MIT
 *
 * The wait of one turn, and its poll phase: what its sources say of it, put together.
 * For turn.c, wait.c, foreign.c and poll_phase.c.
 */
#ifndef TPOOL_TURN_POLL_PHASE_H
#define TPOOL_TURN_POLL_PHASE_H

#include "turn/dispatch.h"

/*
 * Owner.  Lets go of the language, and where it blocks of the context, for OWNER_WAITS
 * or _YIELDS, and tells the workers so; and takes them back.
 */
void aio_leave(struct aio_context *c, uint32_t what_for, bool blocks);
void aio_enter(struct aio_context *c, bool blocked);

/*
 * Owner, context acquired.  Asks each source what to do about it.  Returns 0 or -errno,
 * and what there is is to be let go of by the turn.
 */
int poll_phase_plan(struct aio_context *c, struct aio_wait *w);

/* Owner, context acquired.  1: progress, 0: none, or no polling; else an error. */
int poll_phase_run(struct aio_context *c, struct aio_wait *w);

/*
 * Owner, GIL and context released: a nap has ended with nothing; slept: there was time for
 * it.  The poll phase after it, without the GIL in between: the call may hold it to its
 * end.  As fdmon_wait() into w->events.
 */
int poll_phase_after_nap(struct aio_context *c, struct aio_wait *w, bool slept);

/* Owner, context acquired.  What the wait teaches: of a wake-up, and each source. */
void poll_phase_learn(struct aio_context *c, struct aio_wait *w);

#endif
