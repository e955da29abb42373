/* SPDX-License-Identifier: MIT
 *
 * A turn of the context: what is due, poll phase, block, accept, dispatch.  The
 * GIL is dropped and taken back here; notify.h has the order and its proof.
 */
#include "py_context.h"

/* The main thread looks for signals this often while it polls. */
#define SIGNAL_NS (1 * NS_PER_MS)
/* Between two looks at Python's io_poll callbacks. */
#define IO_POLL_NS 2000

struct wait {
    uint64_t poll; /* which one: context.polls, unless one was nested in it */
    int64_t start_ns;    /* of the turn's wait */
    int64_t end_ns;      /* of what was waited last: poll phase or block */
    int64_t deadline_ns; /* -1: none */
    bool work;           /* completions are expected: requests are in flight */
    struct fd_handler **pollable; /* ended by NULL, or NULL */
    struct fdmon_event events[FDMON_BATCH];
    int n_events;
    uint32_t removals; /* of the handler table when events was filled */
};

/* GIL taken back from a wait; the GIL-free part says so to the workers. */
static PyThreadState *gil_drop(AioContextObject *c)
{
    PyThreadState *ts = PyEval_SaveThread();

    atomic_store_explicit(&c->core->aio.cpus.owner_waits, 1,
                          memory_order_relaxed);
    return ts;
}

static void gil_take(AioContextObject *c, PyThreadState *ts)
{
#ifndef Py_GIL_DISABLED
    aio_handoff_from_worker(&c->core->aio);
#endif
    atomic_store_explicit(&c->core->aio.cpus.owner_waits, 0,
                          memory_order_relaxed);
    PyEval_RestoreThread(ts);
}

/* Whether something is to be done before any wait; else how long until it is. */
static int64_t due_ns(AioContextObject *c)
{
    if (c->batch_head || notify_is_notified(&c->core->aio.notify)) {
        return 0;
    }
    return soonest_timeout_ns(context_idle_timeout_ns(c),
                              timers_timeout_ns(&c->timers));
}

/* Calls io_poll of every pollable handler: 1 if one said true, -1 fatal. */
static int call_io_poll(struct wait *w)
{
    int any = 0;

    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        int truth = handler_call(w->pollable[i], IO_POLL);

        if (truth < 0) {
            return -1;
        }
        if (truth) {
            w->pollable[i]->polled = true;
            any = 1;
        }
    }
    return any;
}

/* Calls io_poll_begin of every pollable handler, of *begun if one is fatal. */
static int poll_begin(struct wait *w, int *begun)
{
    int ret = 0;

    for (*begun = 0; ret >= 0 && w->pollable && w->pollable[*begun];) {
        ret = handler_call(w->pollable[(*begun)++], IO_POLL_BEGIN);
    }
    return ret < 0 ? -1 : 0;
}

/* Calls io_poll_end where io_poll_begin was called, whatever is raised. */
static int poll_end(struct wait *w, int begun, int hit)
{
    PyObject *exc = hit < 0 ? take_exception() : NULL;

    for (int i = 0; i < begun; i++) {
        if (handler_call(w->pollable[i], IO_POLL_END) < 0) {
            Py_XSETREF(exc, take_exception());
        }
    }
    if (exc) {
        put_exception(exc);
        return -1;
    }
    return hit;
}

/* How long this turn may poll: 0 where polling is off or does not pay. */
static int64_t poll_window_ns(AioContextObject *c, const struct wait *w)
{
    int64_t window_ns = w->work ? c->poll_ns : 0;

    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        if (w->pollable[i]->poll_ns > window_ns) {
            window_ns = w->pollable[i]->poll_ns;
        }
    }
    if (window_ns && cpu_pair_is_shared(&c->core->aio.cpus)) {
        counter_add(&c->stats.polls_refused, 1);
        return 0;
    }
    return window_ns;
}

/* Busy-waits until deadline_ns: 1 progress, 0 none, -1 exception. */
static int busy_wait(AioContextObject *c, struct wait *w, int64_t deadline_ns)
{
    int64_t slice_ns;
    int hit;

    do {
        PyThreadState *ts;

        slice_ns = w->end_ns + (w->pollable ? IO_POLL_NS : SIGNAL_NS);
        hit = call_io_poll(w);
        if (hit) {
            return hit;
        }
        ts = gil_drop(c);
        hit = aio_poll_phase(&c->core->aio,
                             slice_ns < deadline_ns ? slice_ns : deadline_ns);
        w->end_ns = clock_now_ns();
        gil_take(c, ts);
        if (hit) {
            return 1;
        }
        if (c->owner_is_main && PyErr_CheckSignals() < 0) {
            return -1;
        }
        if (c->polls != w->poll) {
            return 0; /* a nested poll(): block() looks anew */
        }
        /* An early end means that the partner needs this CPU. */
    } while (w->end_ns >= slice_ns && w->end_ns < deadline_ns);
    return 0;
}

/* The poll phase: 1 progress, 0 none, -1 exception. */
static int poll_phase(AioContextObject *c, struct wait *w)
{
    int64_t window_ns = poll_window_ns(c, w), deadline_ns;
    int hit, begun;

    if (!window_ns) {
        return 0;
    }
    deadline_ns = deadline_after_ns(w->start_ns, window_ns);
    deadline_ns = soonest_timeout_ns(deadline_ns, w->deadline_ns);
    if (deadline_ns < 0) {
        deadline_ns = INT64_MAX;
    }
    trace_emit(c->core->trace, TRACE_RUN_POLL_HANDLERS_BEGIN, c, window_ns);
    hit = poll_begin(w, &begun);
    if (hit == 0) {
        hit = busy_wait(c, w, deadline_ns);
    }
    hit = poll_end(w, begun, hit);
    if (hit == 0) {
        /* What came before io_poll_end turned notifications on again. */
        hit = call_io_poll(w);
    }
    trace_emit(c->core->trace, TRACE_RUN_POLL_HANDLERS_END, c, hit == 1);
    counter_add(&c->stats.polled_ns, (uint64_t)(w->end_ns - w->start_ns));
    counter_add(hit == 1 ? &c->stats.polls_hit : &c->stats.polls_missed, 1);
    return hit;
}

/*
 * Callbacks and signal handlers have run since the turn began.  Whether there
 * is still nothing to do; a timer may be due sooner than it was.
 */
static bool still_nothing_due(AioContextObject *c, struct wait *w)
{
    int64_t timeout_ns = due_ns(c);

    w->deadline_ns = soonest_timeout_ns(
        w->deadline_ns, deadline_after_ns(clock_now_ns(), timeout_ns));
    /* A nested poll() may have dispatched, or accepted, what was ours. */
    return timeout_ns != 0 && c->polls == w->poll;
}

/* Blocks until something comes.  Returns 0, or -1 with an exception. */
static int block(AioContextObject *c, struct wait *w)
{
    struct aio_core *core = &c->core->aio;
    int64_t begin_ns = clock_now_ns();
    int guarded = 0, n = 0;

    if (c->owner_is_main) {
        guarded = signal_guard_enter(&c->signals);
        if (guarded < 0) {
            return -1;
        }
    }
    if (still_nothing_due(c, w) &&
        notify_may_block(&core->notify, &core->list)) {
        unsigned depth = context_release_all(c);
        PyThreadState *ts = gil_drop(c);

        n = aio_poll_block(core, &c->fdmon,
                           remaining_ns(clock_now_ns(), w->deadline_ns),
                           w->events);
        gil_take(c, ts);
        context_acquire_again(c, depth);
    }
    if (guarded) {
        signal_guard_leave(&c->signals);
    }
    cpu_publish(&core->cpus.owner);
    w->end_ns = clock_now_ns();
    counter_add(&c->stats.blocked_ns, (uint64_t)(w->end_ns - begin_ns));
    if (n < 0) {
        raise_errno(n);
        return -1;
    }
    w->n_events = n;
    return c->owner_is_main ? PyErr_CheckSignals() : 0;
}

/* One source's window after a wait; fired: its work ended the wait. */
static int64_t tune_source(AioContextObject *c, int64_t poll_ns,
                           int64_t block_ns, bool fired)
{
    enum poll_verdict verdict;
    int64_t next_ns;

    if (!fired && block_ns <= c->params.max_ns) {
        return poll_ns; /* another came first: nothing is learned */
    }
    next_ns = poll_tuner_next_ns(&c->params, poll_ns, block_ns, &verdict);
    if (verdict != POLL_KEEP) {
        trace_emit(c->core->trace,
                   verdict == POLL_GROW ? TRACE_POLL_GROW : TRACE_POLL_SHRINK,
                   c, next_ns);
    }
    return next_ns;
}

static bool handler_fired(const struct wait *w, const struct fd_handler *h)
{
    bool fired = h->polled;

    for (int i = 0; i < w->n_events && !fired; i++) {
        fired = w->events[i].gen == h->gen;
    }
    return fired;
}

/* Self-tuning, for every source that this turn waited for. */
static void tune(AioContextObject *c, struct wait *w)
{
    struct aio_core *core = &c->core->aio;
    int64_t block_ns, wake_ns = atomic_load_explicit(&core->notify.wake_ns,
                                                     memory_order_relaxed);

    /* Woken: the work arrived when the poster said so, not when we came to. */
    if (wake_ns < w->start_ns) {
        wake_ns = w->end_ns;
    }
    cpu_publish_lag(&core->cpus.owner_lag_ns, w->end_ns - wake_ns);
    block_ns = wake_ns - w->start_ns;
    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        struct fd_handler *h = w->pollable[i];

        h->poll_ns = tune_source(c, h->poll_ns, block_ns, handler_fired(w, h));
    }
    block_ns -= atomic_load_explicit(&core->cpus.worker_lag_ns,
                                     memory_order_relaxed);
    if (w->work) {
        c->poll_ns = tune_source(c, c->poll_ns, block_ns > 0 ? block_ns : 0,
                                 completion_list_peek(&core->list));
    }
}

static bool polling_is_on(AioContextObject *c)
{
    return c->params.max_ns > 0 && !c->handlers.blind;
}

/* Waits as long as nothing is due.  Returns 0, or -1 with an exception. */
static int wait_for_work(AioContextObject *c, struct wait *w,
                         int64_t timeout_ns)
{
    struct aio_core *core = &c->core->aio;
    int hit;

    w->start_ns = w->end_ns = clock_now_ns();
    w->deadline_ns = deadline_after_ns(w->start_ns, timeout_ns);
    /* Relaxed: the owner's own submits are in; others come with a node. */
    w->work = polling_is_on(c) &&
              atomic_load_explicit(&core->in_flight, memory_order_relaxed) != 0;
    if (polling_is_on(c) && c->handlers.pollable) {
        w->pollable = handlers_pollable(&c->handlers);
        if (!w->pollable) {
            PyErr_NoMemory();
            return -1;
        }
    }
    cpu_publish(&core->cpus.owner);
    hit = poll_phase(c, w);
    if (hit == 0 && block(c, w) < 0) {
        hit = -1;
    }
    if (hit >= 0) {
        tune(c, w);
    }
    return hit < 0 ? -1 : 0;
}

/* io_poll said so: io_poll_ready, or io_read where there is none. */
static int dispatch_polled(struct wait *w, bool *progress)
{
    int ret = 0;

    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        struct fd_handler *h = w->pollable[i];

        if (h->polled && ret >= 0) {
            *progress = true;
            ret = handler_call(h, h->callbacks[IO_POLL_READY] ? IO_POLL_READY
                                                              : IO_READ);
        }
        h->polled = false;
    }
    return ret < 0 ? -1 : 0;
}

/* The order is part of the interface: work, then fds, then timers. */
static int dispatch(AioContextObject *c, struct wait *w, bool *progress)
{
    context_absorb(c);
    if (context_dispatch_work(c, progress) < 0 ||
        dispatch_polled(w, progress) < 0 ||
        handlers_dispatch(&c->handlers, &c->fdmon, w->events, w->n_events,
                          w->removals, progress) < 0) {
        return -1;
    }
    return timers_dispatch(&c->timers, progress);
}

/* Whether the wait has reported the notifier. */
static bool notifier_fired(AioContextObject *c, const struct wait *w)
{
    bool fired = false;

    for (int i = 0; i < w->n_events && !fired; i++) {
        fired = w->events[i].fd == c->handlers.notifier_fd;
    }
    return fired;
}

/* How many events are of fds that somebody has registered. */
static int user_events(const struct wait *w)
{
    int n = 0;

    for (int i = 0; i < w->n_events; i++) {
        n += w->events[i].gen != 0;
    }
    return n;
}

static bool nothing_happened(AioContextObject *c, const struct wait *w)
{
    return !user_events(w) && !notifier_fired(c, w) &&
           !aio_poll_progress(&c->core->aio) &&
           remaining_ns(clock_now_ns(), w->deadline_ns) != 0;
}

/* Who waits for the context gets it between two turns. */
static void yield_to_waiters(AioContextObject *c)
{
    for (int i = 0; i < 100 && atomic_load_explicit(&c->lock_waiters,
                                                    memory_order_relaxed);
         i++) {
        struct timespec ts = {.tv_nsec = 50000};

        Py_BEGIN_ALLOW_THREADS
        nanosleep(&ts, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* The context is ours: no other thread is in it, and this one may turn it. */
static int begin(AioContextObject *c)
{
    if (!context_is_acquired(c)) {
        yield_to_waiters(c);
    }
    if (context_check_owner(c, "poll()") < 0 || context_enter(c) < 0) {
        return -1;
    }
    if (context_adopt(c, "poll()") < 0) {
        context_release(c);
        return -1;
    }
    c->poll_depth++;
    c->polls++;
    return 0;
}

static void end(AioContextObject *c)
{
    c->poll_depth--;
    context_release(c);
}

/* While a foreign loop waits: its wait is over; whether there was one. */
static bool foreign_leave(struct notify *n)
{
    if (!(notify_me(n) & NOTIFY_FOREIGN)) {
        return false;
    }
    notify_unblock(n);
    notify_lower(n, NOTIFY_FOREIGN);
    return true;
}

static void foreign_enter(AioContextObject *c)
{
    struct aio_core *core = &c->core->aio;

    notify_raise(&core->notify, NOTIFY_FOREIGN);
    if (c->batch_head || !notify_may_block(&core->notify, &core->list)) {
        /* The fd is the only thing that a foreign loop looks at. */
        notify_write(&core->notify);
    }
}

int context_poll(AioContextObject *c, int64_t timeout_ns, bool *progress)
{
    struct wait w;
    struct notify *notify;
    bool blocking = timeout_ns != 0, foreign;
    int ret = 0;

    *progress = false;
    if (begin(c) < 0) {
        return -1;
    }
    notify = &c->core->aio.notify;
    w.poll = c->polls;
    w.pollable = NULL;
    w.n_events = 0;
    foreign = foreign_leave(notify);
    if (blocking) {
        notify_raise(notify, NOTIFY_STEP);
    }
    context_absorb(c);
    w.removals = c->handlers.removals;
    timeout_ns = soonest_timeout_ns(timeout_ns, due_ns(c));
    if (timeout_ns != 0) {
        ret = wait_for_work(c, &w, timeout_ns);
        if (ret == 0 && nothing_happened(c, &w)) {
            counter_add(&c->stats.spurious_wakeups, 1);
        }
    }
    if (ret == 0 && !w.n_events && c->handlers.count) {
        /* Ready fds are seen in every turn, however busy the list is. */
        w.removals = c->handlers.removals;
        w.n_events = fdmon_wait(&c->fdmon, 0, w.events);
        if (w.n_events < 0) {
            raise_errno(w.n_events);
            ret = -1;
        }
    }
    if (blocking) {
        notify_lower(notify, NOTIFY_STEP);
    }
    notify_accept(notify, notifier_fired(c, &w));
    if (ret == 0) {
        counter_add(&c->stats.turns, 1);
        ret = dispatch(c, &w, progress);
    }
    handlers_unref_all(w.pollable);
    if (foreign) {
        foreign_enter(c);
    }
    end(c);
    return ret;
}

int context_prepare(AioContextObject *c, int64_t *timeout_ns)
{
    if (begin(c) < 0) {
        return -1;
    }
    foreign_leave(&c->core->aio.notify);
    context_absorb(c);
    *timeout_ns = due_ns(c);
    notify_raise(&c->core->aio.notify, NOTIFY_FOREIGN);
    if (!notify_may_block(&c->core->aio.notify, &c->core->aio.list)) {
        *timeout_ns = 0;
    }
    end(c);
    return 0;
}

int context_check(AioContextObject *c, bool *ready)
{
    struct wait w = {.n_events = 0};

    if (begin(c) < 0) {
        return -1;
    }
    foreign_leave(&c->core->aio.notify);
    w.n_events = fdmon_wait(&c->fdmon, 0, w.events);
    if (w.n_events < 0) {
        end(c);
        raise_errno(w.n_events);
        return -1;
    }
    notify_accept(&c->core->aio.notify, notifier_fired(c, &w));
    context_absorb(c);
    *ready = c->batch_head || c->idle_head ||
             timers_timeout_ns(&c->timers) == 0 || user_events(&w) > 0;
    end(c);
    return 0;
}

int context_dispatch(AioContextObject *c, bool *progress)
{
    return context_poll(c, 0, progress);
}
