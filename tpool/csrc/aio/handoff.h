/* SPDX-License-Identifier: MIT
 *
 * The hints by which the owner, its workers and other threads pass the lock of the
 * interpreter: who misreads one waits a moment longer.
 */
#ifndef TPOOL_AIO_HANDOFF_H
#define TPOOL_AIO_HANDOFF_H

#include "aio/core.h"

/*
 * How long one side waits for the other to let go of the GIL before it asks for
 * it, which puts it to sleep: about the cost of that sleep.
 */
#define HANDOFF_NS 20000
/* The same, while the owner goes on submitting. */
#define HANDOFF_MAX_NS 200000
/* How long who gives the GIL to a polling owner leaves it free for it. */
#define HANDOFF_TAKE_NS 5000
/*
 * And how long for it to wait again, having run what it was told: see below.  A turn of
 * asyncio's that takes a result and asks for the next one takes 30 to 100 us; a bound
 * within that lets one slow moment put the poster to sleep, which makes the next turn slow.
 */
#define HANDOFF_BACK_NS 200000

/*
 * Owner, about to ask for the GIL: waits until a batching worker is likely to have dropped
 * it, asleep until shortly before.
 */
void aio_handoff_from_worker(struct aio_core *core);

/*
 * Worker that has the GIL, or is about to: begins, and ends, to batch.  left_ns: until that
 * is likely to end; 0: unknown.
 */
void aio_batch_begin(struct aio_core *core, int64_t left_ns);
void aio_batch_end(struct aio_core *core);

/*
 * Worker with a request, about to ask for the GIL: waits until the owner is without
 * it.  Whether that is for a moment only, so that the worker has to say that it
 * takes it: the owner would have to sleep on it.
 */
bool aio_handoff_from_owner(struct aio_core *core);

/* Any thread; a hint.  Whether the owner is without the GIL. */
static inline bool aio_owner_waits(struct aio_core *core)
{
    return atomic_load_explicit(&core->cpus.owner_waits,
                                memory_order_relaxed) != 0;
}

/* Any thread; a hint.  Whether the owner busy-waits, and does not sleep. */
bool aio_owner_polls(struct aio_core *core);

/*
 * Poster, GIL released, after it has notified an owner that polls: leaves it the GIL,
 * and asks for it again when the owner waits next.  While the owner has it, to ask is
 * to sleep.  An owner that has more to do is waited for ever less often.
 */
void aio_handoff_to_owner(struct aio_core *core);

/*
 * Any thread that may wait for the other side for a moment.  Whether it pays, as far as
 * the last times tell, and how this one went: who waits in vain does so ever less often.
 */
bool aio_handoff_is_due(struct aio_core *core);
void aio_handoff_learn(struct aio_core *core, bool came);

/* Any thread: the other side polls from now on, or does not.  The last times tell nothing. */
void aio_handoff_forget(struct aio_core *core);

/*
 * Any thread, after it has posted a bottom half.  Whether so many wait for the
 * owner that who is not the owner should let it catch up.
 */
bool aio_count_post(struct aio_core *core);

/*
 * Poster, GIL released.  Waits for the owner to have run them, as long as it runs
 * some now and then.
 */
void aio_wait_for_owner(struct aio_core *core);

#endif
