/* SPDX-License-Identifier: MIT
 *
 * A turn of the context: what is due, poll phase, block, accept, dispatch.
 * notify.h has the order and its proof.
 */
#include "py_poll_phase.h"

/* Polls inside each other; each takes several KiB of the C stack. */
#define POLL_DEPTH_MAX 200

/* How often the owner counts the CPUs that it may use: an affinity, or the quota
 * of a control group, may change at any time. */
#define CPUS_LOOK_NS NS_PER_SECOND

/* Whether something is to be done before any wait; else how long until it is. */
static int64_t due_ns(AioContextObject *c)
{
    if (c->batch_head || notify_is_notified(&c->core->aio.notify)) {
        return 0;
    }
    return soonest_timeout_ns(context_idle_timeout_ns(c),
                              timers_timeout_ns(&c->timers));
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

static bool reported(const struct fdmon_event *events, int n, int fd)
{
    for (int i = 0; i < n; i++) {
        if (events[i].fd == fd) {
            return true;
        }
    }
    return false;
}

/* Blocks until something comes.  Returns 0, or -1 with an exception. */
static int block(AioContextObject *c, struct wait *w)
{
    struct aio_core *core = &c->core->aio;
    int64_t begin_ns = clock_now_ns();
    int guarded = 0, n = 0;

    if (begin_ns - c->cpus_ns > CPUS_LOOK_NS) {
        /* Who polls all the time sees the partner on its CPU, and comes here. */
        c->cpus_ns = begin_ns;
        cpu_pair_look(&core->cpus);
    }
    if (c->owner_is_main) {
        guarded = signal_guard_enter(&c->signals);
        if (guarded < 0) {
            return -1;
        }
    }
    if (still_nothing_due(c, w) &&
        notify_may_block(&core->notify, &core->list)) {
        int64_t until_ns = soonest_timeout_ns(w->deadline_ns,
                                              w->nap_ns ? w->nap_ns : -1);
        struct lock_hold hold = context_release_all(c);
        PyThreadState *ts = context_gil_drop(c);

        n = aio_poll_block(core, &c->fdmon,
                           remaining_ns(clock_now_ns(), until_ns), w->events);
        if (n == 0 && w->nap_ns) {
            n = poll_phase_after_nap(c, w);
        }
        context_gil_take(c, ts);
        context_acquire_again(c, hold);
    }
    if (guarded) {
        /* What comes from now on is seen, and drained, in the next wait. */
        signal_guard_leave(&c->signals,
                           reported(w->events, n, c->signals.pipe.rfd));
    } else if (c->owner_is_main &&
               reported(w->events, n, c->signals.pipe.rfd)) {
        signal_guard_pass_on(&c->signals);
    }
    cpu_publish(&core->cpus.owner);
    w->end_ns = clock_now_ns();
    trace_emit_at(c->core->trace, TRACE_BLOCK, c,
                  (w->polled_ns ? w->polled_from_ns : w->end_ns) - begin_ns,
                  begin_ns);
    counter_add(&c->stats.blocked_ns,
                (uint64_t)(w->end_ns - begin_ns - w->polled_ns));
    w->polled_ns = 0;
    if (n < 0) {
        raise_errno(n);
        return -1;
    }
    w->n_events = n;
    c->looked_ns = w->end_ns;
    return c->owner_is_main ? PyErr_CheckSignals() : 0;
}

static bool polling_is_on(AioContextObject *c)
{
    return c->params.max_ns > 0 && (c->interleaved || !c->handlers.blind);
}

static void begin_wait(AioContextObject *c, struct wait *w, int64_t timeout_ns)
{
    struct aio_core *core = &c->core->aio;

    w->start_ns = w->end_ns = clock_now_ns();
    w->nap_ns = w->polled_ns = 0;
    w->deadline_ns = deadline_after_ns(w->start_ns, timeout_ns);
    /* Relaxed: the owner's own submits are in; others come with a node. */
    w->work = polling_is_on(c) &&
              atomic_load_explicit(&core->in_flight, memory_order_relaxed) != 0;
    w->arrived = false;
    w->looks = context_looks(c);
    cpu_publish(&core->cpus.owner);
}

/* Whether the calls in flight are waited for by a nap, and then polling. */
static bool naps(AioContextObject *c, const struct wait *w)
{
    return w->plan.choice == CALL_NAP && !w->pollable && !c->notify_poll_ns &&
           remaining_ns(w->start_ns + w->plan.nap_ns, w->deadline_ns) != 0;
}

/* Sleeps through most of a call.  1: something came, 0: nothing, -1: exception. */
static int nap(AioContextObject *c, struct wait *w)
{
    int ret;

    counter_add(&c->stats.naps, 1);
    trace_emit(c->core->trace, TRACE_POLL_NAP, c, w->plan.nap_ns);
    w->nap_ns = w->start_ns + w->plan.nap_ns;
    ret = block(c, w);
    w->nap_ns = 0;
    if (ret < 0) {
        return -1;
    }
    return w->n_events > 0 || aio_poll_progress(&c->core->aio) ||
           due_ns(c) == 0 || remaining_ns(w->end_ns, w->deadline_ns) == 0 ||
           c->polls != w->poll;
}

/* Waits as long as nothing is due.  Returns 0, or -1 with an exception. */
static int wait_for_work(AioContextObject *c, struct wait *w,
                         int64_t timeout_ns)
{
    int hit;

    begin_wait(c, w, timeout_ns);
    if (polling_is_on(c) && c->handlers.pollable) {
        w->pollable = handlers_pollable(&c->handlers);
        if (!w->pollable) {
            PyErr_NoMemory();
            return -1;
        }
    }
    poll_phase_plan(c, w);
    hit = naps(c, w) ? nap(c, w) : poll_phase_run(c, w);
    if (hit == 0 && block(c, w) < 0) {
        hit = -1;
    }
    if (hit >= 0) {
        poll_phase_tune(c, w);
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
    return reported(w->events, w->n_events, c->handlers.notifier_fd);
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
           !aio_poll_progress(&c->core->aio) && !w->arrived &&
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
    if (context_is_acquired(c) && c->poll_depth >= POLL_DEPTH_MAX) {
        PyErr_Format(PyExc_RecursionError,
                     "poll() inside of poll() more than %d times",
                     POLL_DEPTH_MAX);
        return -1;
    }
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

/* Whether a turn that waited, and hit, may leave the fds to the next one. */
static bool looked_just_now(AioContextObject *c, const struct wait *w,
                            int64_t timeout_ns)
{
    return c->interleaved && timeout_ns != 0 &&
           w->end_ns - c->looked_ns < FD_LOOK_NS;
}

/* Ready fds are seen in every turn, however busy the list is. */
static int look_at_fds(AioContextObject *c, struct wait *w)
{
    w->removals = c->handlers.removals;
    w->n_events = fdmon_wait(&c->fdmon, 0, w->events);
    c->looked_ns = clock_now_ns();
    if (w->n_events < 0) {
        raise_errno(w->n_events);
        return -1;
    }
    return 0;
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
    if (ret == 0 && !w.n_events && c->handlers.count &&
        !looked_just_now(c, &w, timeout_ns)) {
        ret = look_at_fds(c, &w);
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
    if (ret == 0) {
        ret = context_check_open(c); /* a callback has forked: the child */
    }
    if (foreign && !c->closed) {
        foreign_enter(c);
    }
    end(c);
    return ret;
}

/*
 * The poll phase before a foreign loop's own wait, for completions alone: 1
 * progress, 0 none, -1 exception.  What a miss teaches is known when they come.
 */
static int foreign_poll(AioContextObject *c, int64_t timeout_ns)
{
    struct wait w = {.poll = c->polls};
    int hit;

    begin_wait(c, &w, timeout_ns);
    if (!w.work) {
        return 0;
    }
    poll_phase_plan(c, &w);
    hit = poll_phase_run(c, &w);
    if (hit > 0) {
        poll_phase_tune(c, &w);
    } else {
        c->foreign_wait_ns = w.start_ns;
    }
    return hit;
}

/* The foreign loop's wait that follows a poll phase in vain is over. */
static void foreign_tune(AioContextObject *c)
{
    if (c->foreign_wait_ns && completion_list_peek(&c->core->aio.list)) {
        struct wait w = {.start_ns = c->foreign_wait_ns,
                         .end_ns = clock_now_ns(),
                         .work = true};

        poll_phase_tune(c, &w);
        c->foreign_wait_ns = 0;
    }
}

int context_prepare(AioContextObject *c, int64_t *timeout_ns)
{
    struct notify *notify;
    int hit = 0;

    if (begin(c) < 0) {
        return -1;
    }
    notify = &c->core->aio.notify;
    foreign_leave(notify);
    context_absorb(c);
    *timeout_ns = due_ns(c);
    notify_raise(notify, NOTIFY_FOREIGN);
    if (*timeout_ns != 0) {
        hit = foreign_poll(c, *timeout_ns);
        if (!(notify_me(notify) & NOTIFY_FOREIGN)) {
            /* A signal handler has called check(), say. */
            notify_raise(notify, NOTIFY_FOREIGN);
        }
    }
    if (hit < 0) {
        foreign_leave(notify);
    } else if (hit > 0 || !notify_may_block(notify, &c->core->aio.list)) {
        *timeout_ns = 0;
    } else {
        *timeout_ns = due_ns(c); /* time has passed, signal handlers have run */
    }
    end(c);
    return hit < 0 ? -1 : 0;
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
    if (!c->handlers.count && user_events(&w)) {
        /* dispatch() looks at no fd then, and the foreign loop would spin. */
        handlers_drop_ghosts(&c->handlers, &c->fdmon);
        w.n_events = 0;
    }
    foreign_tune(c);
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
