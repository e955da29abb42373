/* SPDX-License-Identifier: MIT
 *
 * AioContext: an event loop owned by the thread that polls it.
 *
 * Everything marked "Context acquired" is guarded by the context's recursive
 * lock, which its owner holds from poll() to its return and lets go of only
 * while it blocks.
 */
#ifndef TPOOL_CONTEXT_CONTEXT_H
#define TPOOL_CONTEXT_CONTEXT_H

#include "tune/poll_tuner.h"
#include "aio/core.h"
#include "queue/work.h"
#include "context/fd_handlers.h"
#include "py/owner.h"
#include "py/signals.h"
#include "aio/timer_heap.h"

struct context_stats {
    counter64 turns, dispatched, polls_hit, polls_missed, polls_refused,
        polls_skipped, polls_hopeless, naps;
    counter64 polled_ns, missed_ns, blocked_ns, spurious_wakeups;
    counter64 wake_ns; /* what a wake-up takes: the last value, no sum */
};

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    /* Immutable after new. */
    struct module_state *state;
    struct aio_core *core; /* until dealloc: who posts need not look */
    uint32_t forks;        /* of the module, when it was made */

    struct owner owner; /* see owner.h */
    /* Any thread. */
    atomic_bool run; /* by the event loop above, in the owner's thread */
    atomic_bool closed;
    bool forked; /* closed, for it is in the child of a fork */

    /* Protected by lock. */
    int poll_depth; /* polls inside each other */
    uint64_t polls; /* ever begun */
    bool waited;    /* the last turn did: others have had the GIL */
    struct signal_guard signals;
    int64_t cpus_ns;  /* when the usable CPUs were counted last */
    int64_t shown_ns; /* when its fds were seen to be its own */
    struct fdmon fdmon;
    struct handler_table handlers;
    struct timer_heap timers;
    struct poll_params params; /* written in the critical section, too */
    int64_t poll_ns; /* window of the calls that were waited for last */
    /*
     * A foreign loop's own: its poll phase looks at the fds too, so a handler
     * without io_poll does not turn polling off.
     */
    bool interleaved;
    int64_t notify_poll_ns;  /* window of notify(), if interleaved */
    uint32_t notify_missed;  /* waits in a row without one */
    int64_t told_ns;         /* until then a foreign loop waits; -1: for ever */
    int64_t foreign_wait_ns; /* a foreign loop's wait began so; 0: none did */

    /* Owner only. */
    struct cpu_parting parting;
    struct sleep_costs sleep;
    int64_t looked_ns; /* when the fds were looked at last */
    /* Taken from the completion list, not dispatched. */
    struct completion_node *batch_head, *batch_tail;
    bool behind; /* the batch waits for context_dispatch_rest() */
    struct completion_node *idle_head, *idle_tail; /* idle bottom halves */

    /* The owner writes, any thread reads. */
    struct context_stats stats;
} AioContextObject;

/* Context acquired and not closed: 0, or -1 with an exception and released. */
int context_enter(AioContextObject *c);

/* Context acquired.  Another thread changed what the owner may be waiting for. */
void context_changed(AioContextObject *c);

/*
 * Context acquired.  A timer was set.  Between prepare() and check() the owner is in
 * its foreign loop, which has to hear of it if it means to wait for longer.
 */
void context_set_due(AioContextObject *c, int64_t due_ns);

/*
 * Context acquired.  0 if the caller owns it, or nobody has polled it yet: it is the
 * owner from now on; -1 with an exception.
 */
int context_adopt(AioContextObject *c);

/*
 * Any thread.  Whether an event loop above runs it: who waits in it then keeps
 * that loop from seeing the fds that are ready.
 */
static inline bool context_is_run(AioContextObject *c)
{
    return atomic_load_explicit(&c->run, memory_order_relaxed);
}

/*
 * Context acquired.  Lets go of all but the core; what others still deliver is
 * dropped.
 */
void context_teardown(AioContextObject *c);

/* Methods for the event loop above: see loop_methods.c. */
PyObject *context_poll_for(AioContextObject *c, PyObject *timeout);
PyObject *context_own(AioContextObject *c, PyObject *ignored);
PyObject *context_disown(AioContextObject *c, PyObject *ignored);
PyObject *context_interleave(AioContextObject *c, PyObject *ignored);
PyObject *context_post_method(AioContextObject *c, PyObject *const *args,
                              Py_ssize_t nargs);
PyObject *context_dispatch_rest_method(AioContextObject *c, PyObject *ignored);

/*
 * Any thread, GIL held, context open.  Hands the node of a bottom half, which
 * carries a reference, to the owner, or (NULL) a bare notify().  Drops the GIL in between where the owner
 * polls, or has so much to do that it has to catch up.
 */
void context_post(AioContextObject *c, struct completion_node *node);

/*
 * Owner.  One turn, waiting for timeout_ns at most (-1: for ever, 0: not at
 * all).  Returns 0 and whether anything made progress, or -1 with an exception.
 */
int context_poll(AioContextObject *c, int64_t timeout_ns, bool *progress);

/*
 * The same for the event loop above: what other threads have posted to it is
 * handed to it, and work that came behind that waits in the batch for
 * context_dispatch_rest(), to be called after it.  *behind: whether there is any.
 */
int context_poll_for_loop(AioContextObject *c, int64_t timeout_ns,
                          bool *behind);
int context_dispatch_rest(AioContextObject *c, bool *behind);

/* Owner.  The turn in three parts, for a foreign loop. */
int context_prepare(AioContextObject *c, int64_t *timeout_ns);
int context_check(AioContextObject *c, bool *ready);
int context_dispatch(AioContextObject *c, bool *progress);

/*
 * Owner, context acquired.  Dispatches a bounded batch of what has arrived.
 * for_loop: sets behind, and stops, where work follows what was posted to the loop:
 * what one thread has posted, and what its calls return, stays in order.
 */
int context_dispatch_work(AioContextObject *c, bool for_loop, bool *progress);

/*
 * Owner, context acquired.  Dispatches what has arrived and must be dispatched
 * before the context is closed: see work_ops.  Returns 0, or -1 with an exception
 * that must leave close().
 */
int context_drain(AioContextObject *c);

/* Owner, context acquired.  Moves what has arrived to the batch. */
void context_take_arrived(AioContextObject *c);

static inline void context_absorb(AioContextObject *c)
{
    if (completion_list_peek(&c->core->list)) {
        context_take_arrived(c);
    }
}

/* Owner, context acquired.  When an idle bottom half is due: -1, 10 ms or 0. */
int64_t context_idle_timeout_ns(AioContextObject *c);

/* Any thread: 0, or -1 with an exception. */
int context_raise_closed(AioContextObject *c);

static inline int context_check_open(AioContextObject *c)
{
    return c->closed ? context_raise_closed(c) : 0;
}

/* A method: in the child of a fork, before anything else is done with it. */
PyObject *context_after_fork(AioContextObject *c, PyObject *ignored);

extern PyMethodDef context_methods[];
/* Methods: see close() and _check_idle(). */
PyObject *context_close(AioContextObject *c, PyObject *ignored);
PyObject *context_check_idle(AioContextObject *c, PyObject *ignored);

/* Attributes, and the method _stats(). */
extern PyGetSetDef context_getset[];
PyObject *context_stats(AioContextObject *c, PyObject *ignored);

/* Methods: see set_fd_handler(), set_event_notifier(), _watch_fd() and
 * set_fd_poll(). */
PyObject *context_set_fd_handler(AioContextObject *c, PyObject *args,
                                 PyObject *kwargs);
PyObject *context_set_event_notifier(AioContextObject *c, PyObject *args,
                                     PyObject *kwargs);
PyObject *context_watch_fd(AioContextObject *c, PyObject *args);
PyObject *context_set_fd_poll(AioContextObject *c, PyObject *args,
                              PyObject *kwargs);

#endif
