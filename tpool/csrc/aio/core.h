/* SPDX-License-Identifier: MIT
 *
 * What other threads may touch of a context: it outlives the context while they do.
 */
#ifndef TPOOL_AIO_CORE_H
#define TPOOL_AIO_CORE_H

#include "aio/call_table.h"
#include "aio/fdmon.h"
#include "aio/notify.h"
#include "aio/peek.h"
#include "base/cpu.h"
#include "base/trace_ring.h"
#include "queue/work.h"

struct aio_core {
    /* Any thread; see completion_list.h and notify.h. */
    struct completion_list list;
    _Alignas(CACHE_LINE) struct notify notify;
    /* Any thread; relaxed, hints: who misreads one waits a moment longer. */
    _Alignas(CACHE_LINE) struct cpu_pair cpus;
    _Atomic uint32_t batching;    /* workers that have the GIL, for a while */
    _Atomic int64_t batch_end_ns; /* when these are likely to let go of it */
    /* Posters: waits in vain for the owner to wait, in a row; posts without one. */
    _Atomic uint32_t backs_vain, back_skips;
    /* Posters: bottom halves scheduled, ever.  The owner: those it has run. */
    _Alignas(CACHE_LINE) _Atomic uint64_t posted;
    counter64 posts_run;
    /* Submitters, and who ends calls: the owner, or an executor's workers. */
    _Alignas(CACHE_LINE) _Atomic uint32_t in_flight; /* not dispatched */
    _Atomic uint32_t
        kernel_calls;          /* of these: the kernel's; the owner counts */
    counter64 done;            /* those that were, ever */
    _Atomic int64_t flight_ns; /* when the first of these was submitted */
    /* See call_table.h: of what, how long these take. */
    struct call_table calls;
    /* Any thread. */
    _Alignas(CACHE_LINE) _Atomic uint32_t refs;
    _Atomic uint32_t posters; /* that may write the notifier: workers, say */
    atomic_bool detached;     /* the context is gone: nobody will dispatch */
    _Atomic int owner_tid;    /* the kernel's number for the owner; 0: none */
    /* Immutable after init; outlives it. */
    struct trace *trace;
};

/* Returns 0, with one reference to it in *out, or -errno. */
int aio_core_new(struct aio_core **out, struct trace *trace);
struct aio_core *aio_core_ref(struct aio_core *core);
void aio_core_unref(struct aio_core *core);

/*
 * The notifier is closed by the last that may write it: close() of the context, or the
 * last poster after that.
 *
 * 1. C: the owner is blocked no more, and sets POSTERS_CLOSED;
 * 2. L: a poster leaves, and is the last;
 * 3. who finds nobody there after C, be it in C or in L, tries to set POSTERS_GONE:
 *    one of them does, and closes it.
 *
 * Who enters after C knows, by the order of the two, that the owner does not block:
 * it writes nothing, whether the notifier is still there or not.
 */
#define POSTERS_CLOSED (UINT32_C(1) << 31)
#define POSTERS_GONE   (UINT32_C(1) << 30)

/* Acquire-release, all: one order, and what went before is seen. */
static inline void aio_core_close_notifier(struct aio_core *core)
{
    uint32_t nobody = POSTERS_CLOSED;

    if (atomic_compare_exchange_strong_explicit(
            &core->posters, &nobody, POSTERS_CLOSED | POSTERS_GONE,
            memory_order_acq_rel, memory_order_relaxed)) {
        notify_cleanup(&core->notify);
    }
}

/* Any thread but the owner, before and after it may write the notifier. */
static inline void aio_core_enter(struct aio_core *core)
{
    atomic_fetch_add_explicit(&core->posters, 1, memory_order_acq_rel);
}

static inline void aio_core_leave(struct aio_core *core)
{
    /* L */
    if (atomic_fetch_sub_explicit(&core->posters, 1, memory_order_acq_rel) ==
        (POSTERS_CLOSED | 1)) {
        aio_core_close_notifier(core);
    }
}

/* Owner, not blocked.  Closes the notifier as soon as nobody may write it. */
void aio_core_close(struct aio_core *core);

/* The context lets go: from now on what is delivered is dropped, by work_ops. */
void aio_core_detach(struct aio_core *core);

/*
 * Any thread.  Sequentially consistent: after a post either this tells, or
 * aio_core_detach() finds what was posted.
 */
static inline bool aio_core_is_detached(struct aio_core *core)
{
    return atomic_load_explicit(&core->detached, memory_order_seq_cst);
}

/*
 * Poster, after it has delivered: drops what nobody will dispatch, by work_ops.
 * What is on the list keeps the core, and so itself, alive.
 */
void aio_core_drop_undelivered(struct aio_core *core);

/* Any thread.  Hands node to the owner, and wakes it where it must be woken. */
void aio_core_post(struct aio_core *core, struct completion_node *node);

/* The same, where the caller will post again before long: not who naps is woken. */
void aio_core_post_early(struct aio_core *core, struct completion_node *node);

/*
 * Submitter: n more calls are in flight, since now_ns.  Relaxed, both: counts; what
 * comes of these can only come after the push.
 */
static inline void aio_core_add_calls(struct aio_core *core, uint32_t n,
                                      int64_t now_ns)
{
    if (atomic_fetch_add_explicit(&core->in_flight, n, memory_order_relaxed) ==
        0) {
        atomic_store_explicit(&core->flight_ns, now_ns, memory_order_relaxed);
    }
}

/* One of them is in flight no more; others may end some, too. */
static inline void aio_core_end_call(struct aio_core *core)
{
    atomic_fetch_sub_explicit(&core->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&core->done, 1, memory_order_relaxed);
}

/* The same by an owner, who alone does: that takes less. */
static inline void aio_core_end_own_call(struct aio_core *core)
{
    atomic_fetch_sub_explicit(&core->in_flight, 1, memory_order_relaxed);
    counter_add(&core->done, 1);
}

/* Owner.  Whether a poll phase would end at once. */
bool aio_poll_progress(struct aio_core *core);

/*
 * Owner, GIL released, notify_me raised.  Busy-waits until there is progress, or one
 * of peeks tells of work; false at the deadline, or where the worker is seen to need
 * this CPU.
 */
bool aio_poll_phase(struct aio_core *core, int64_t deadline_ns,
                    const struct aio_peeks *peeks);

/*
 * Owner, GIL and context released, after notify_may_block() or notify_may_nap().  Waits
 * for fds and the notifier; ends the announced block.  As fdmon_wait().
 */
int aio_poll_block(struct aio_core *core, struct fdmon *m, int64_t timeout_ns,
                   struct fdmon_event events[FDMON_BATCH]);

#endif
