/* SPDX-License-Identifier: MIT
 *
 * One turn of a context as far as it needs no Python: poll phase, block, and
 * the hand-over of the interpreter lock between owner and workers.
 */
#ifndef TPOOL_AIO_CORE_H
#define TPOOL_AIO_CORE_H

#include "aio/call_table.h"
#include "queue/completion_list.h"
#include "base/cpu.h"
#include "aio/fdmon.h"
#include "aio/notify.h"

/*
 * How long one side waits for the other to let go of the GIL before it asks for
 * it, which puts it to sleep: about the cost of that sleep.
 */
#define HANDOFF_NS 20000
/* The same, while the owner goes on submitting. */
#define HANDOFF_MAX_NS 200000
/* How long who gives the GIL to a polling owner leaves it free for it. */
#define HANDOFF_TAKE_NS 5000

/* What other threads may touch of a context; outlives it while they do. */
struct aio_core {
    /* Any thread; see completion_list.h and notify.h. */
    struct completion_list list;
    _Alignas(CACHE_LINE) struct notify notify;
    /* Any thread; relaxed, hints: who misreads one waits a moment longer. */
    _Alignas(CACHE_LINE) struct cpu_pair cpus;
    _Atomic uint32_t batching; /* workers that have the GIL, for a while */
    _Atomic uint32_t batches;  /* ever begun */
    /* Posters: bottom halves scheduled, ever.  The owner: those it has run. */
    _Alignas(CACHE_LINE) _Atomic uint64_t posted;
    counter64 posts_run;
    /* Submitters and the owner. */
    _Alignas(CACHE_LINE) _Atomic uint32_t in_flight; /* not dispatched */
    /* See call_table.h: of what, how long these take. */
    struct call_table calls;
    /* Owner only. */
    uint32_t slow_batches; /* batches at the last wait for one that was vain */
};

/* Returns 0 or -errno. */
int aio_core_init(struct aio_core *core);
void aio_core_cleanup(struct aio_core *core);

/* Any thread.  Hands node to the owner, and wakes it where it must be woken. */
void aio_core_post(struct aio_core *core, struct completion_node *node);

/* Owner.  Whether a poll phase would end at once. */
bool aio_poll_progress(struct aio_core *core);

/*
 * Owner, GIL released, notify_me raised.  Busy-waits until there is progress;
 * false at the deadline, or where the worker is seen to need this CPU.
 */
bool aio_poll_phase(struct aio_core *core, int64_t deadline_ns);

/*
 * Owner, GIL and context released, after notify_may_block().  Waits for fds and
 * the notifier; ends the announced block.  As fdmon_wait().
 */
int aio_poll_block(struct aio_core *core, struct fdmon *m, int64_t timeout_ns,
                   struct fdmon_event events[FDMON_BATCH]);

/* Owner, about to ask for the GIL: a batching worker is about to drop it. */
void aio_handoff_from_worker(struct aio_core *core);

/* Worker that has the GIL, or is about to: begins, and ends, to batch. */
void aio_batch_begin(struct aio_core *core);
void aio_batch_end(struct aio_core *core);

/*
 * Worker with a request, about to ask for the GIL: waits until the owner is without
 * it.  Whether that is for a moment only, so that the worker has to say that it
 * takes it: the owner would have to sleep on it.
 */
bool aio_handoff_from_owner(struct aio_core *core);

/* Any thread; a hint.  Whether the owner busy-waits, and does not sleep. */
bool aio_owner_polls(struct aio_core *core);

/* Poster, GIL released, after it has notified an owner that polls. */
void aio_handoff_to_owner(struct aio_core *core);

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
