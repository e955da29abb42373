/* SPDX-License-Identifier: MIT
 *
 * A turn of the context: what is due, poll phase, block, accept, dispatch.
 * notify.h has the order and its proof.
 */
#include "turn/wait.h"

/* Polls inside each other where nobody knows how much stack there is. */
#define POLL_DEPTH_MAX 200

/*
 * The order is part of the interface: work, then fds, then timers.  What there is
 * none of is not asked: in most turns of an event loop each call is a cache miss.
 */
static int dispatch(AioContextObject *c, struct wait *w, bool for_loop,
                    bool *progress)
{
    int ret = 0;

    if (c->fdmon.haunted) {
        handlers_begin_anew(&c->handlers,
                            &c->fdmon); /* there may be an fd now */
    }
    context_absorb(c);
    if ((c->batch_head || c->idle_head) && !(for_loop && c->behind)) {
        ret = context_dispatch_work(c, for_loop, progress);
    }
    if (ret == 0 && w->pollable) {
        ret = handlers_dispatch_polled(w->pollable, w->poll, progress);
    }
    if (ret == 0 && w->n_events) {
        ret = handlers_dispatch(&c->handlers, &c->fdmon, w->events, w->n_events,
                                w->poll, w->removals, progress);
    }
    if (ret == 0 && c->timers.used) {
        ret = timers_dispatch(&c->timers, progress);
    }
    return ret;
}

/* Whether the wait has reported the notifier. */
static bool notifier_fired(AioContextObject *c, const struct wait *w)
{
    return fdmon_reported(w->events, w->n_events, c->core->notify.notifier.rfd);
}

/* What the wait has reported of the context's own fds. */
static void accept_events(AioContextObject *c, const struct wait *w)
{
    notify_accept(&c->core->notify, notifier_fired(c, w));
    if (fdmon_reported(w->events, w->n_events, c->signals.pipe.rfd)) {
        signal_guard_pass_on(&c->signals);
    }
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
           !aio_poll_progress(c->core) && !w->arrived &&
           time_left_ns(w->deadline_ns) != 0;
}

/* Who waits for the context gets it between two turns. */
static void yield_to_waiters(AioContextObject *c)
{
    for (int i = 0; i < 100 && atomic_load_explicit(&c->owner.waiters,
                                                    memory_order_relaxed);
         i++) {
        struct timespec ts = {.tv_nsec = 50000};

        Py_BEGIN_ALLOW_THREADS
        nanosleep(&ts, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* Callbacks that wait have turned it inside of each other. */
static int check_stack(AioContextObject *c)
{
    if (thread_stack_is_mine(&c->owner.stack)
            ? thread_stack_is_short(&c->owner.stack)
            : c->poll_depth >= POLL_DEPTH_MAX) {
        PyErr_Format(PyExc_RecursionError,
                     "no stack is left for poll() inside of %d others",
                     c->poll_depth);
        return -1;
    }
    return 0;
}

/* The context is ours: no other thread is in it, and this one may turn it. */
static int begin(AioContextObject *c)
{
    bool nested = owner_is_in(&c->owner);

    if (!nested) {
        yield_to_waiters(c);
    }
    if (context_check_open(c) < 0 || owner_check(&c->owner) < 0 ||
        context_enter(c) < 0) {
        return -1;
    }
    if (context_adopt(c) < 0 || check_stack(c) < 0) {
        owner_release(&c->owner);
        return -1;
    }
    c->poll_depth++;
    c->polls++;
    return 0;
}

static void end(AioContextObject *c)
{
    if (--c->poll_depth == 0 && c->interleaved && !context_is_run(c)) {
        /* Polled by hand: the event loop above may run in another thread.
         * Release: pairs with the acquire in owner_check(). */
        atomic_store_explicit(&c->owner.adopted, false, memory_order_release);
    }
    owner_release(&c->owner);
}

/*
 * A foreign loop waits from prepare() to check().  Between the two its thread may
 * turn the context all the same: the wait is suspended for that turn, and goes on
 * at its end, whatever was raised, and whatever prepare() and check() were called
 * in it.  So pairs nest: who was told first still waits.
 */
struct foreign_wait {
    bool waits;
    int64_t told_ns; /* until then; -1: for ever, 0: not at all */
};

static struct foreign_wait foreign_suspend(AioContextObject *c)
{
    struct notify *n = &c->core->notify;
    struct foreign_wait found = {.waits = notify_me(n) & NOTIFY_FOREIGN,
                                 .told_ns = c->told_ns};

    if (found.waits) {
        notify_unblock(n);
        notify_lower(n, NOTIFY_FOREIGN);
    }
    return found;
}

/* Whether who was told to wait until told_ns would wait too long. */
static bool waits_beyond(int64_t told_ns, int64_t due_ns)
{
    return due_ns >= 0 && (told_ns < 0 || due_ns < told_ns);
}

void context_set_due(AioContextObject *c, int64_t due_ns)
{
    if (owner_is_me(&c->owner) &&
        (notify_me(&c->core->notify) & NOTIFY_FOREIGN) &&
        waits_beyond(c->told_ns, due_ns)) {
        notify_bare(&c->core->notify);
    }
}

/* The end of a turn.  Two may have been told something: the later is relied on. */
static void foreign_resume(AioContextObject *c, struct foreign_wait found)
{
    struct notify *n = &c->core->notify;
    struct foreign_wait now = foreign_suspend(c);

    if (!found.waits && !now.waits) {
        return;
    }
    if (!now.waits ||
        (found.waits && waits_beyond(found.told_ns, now.told_ns))) {
        c->told_ns = found.told_ns;
    }
    notify_raise(n, NOTIFY_FOREIGN);
    if (c->batch_head || waits_beyond(c->told_ns, wait_due_at_ns(c)) ||
        !notify_may_block(n, &c->core->list)) {
        /* The fd is the only thing that a foreign loop looks at. */
        notify_write(n);
    }
}

/* Whether a turn that waited, and hit, may leave the fds to the next one. */
static bool looked_just_now(AioContextObject *c, const struct wait *w,
                            int64_t timeout_ns)
{
    return c->interleaved && timeout_ns != 0 &&
           w->end_ns - c->looked_ns < FD_LOOK_NS;
}

/*
 * Ready fds are seen in every turn, however busy the list is.  lets_go: so are
 * the threads that wait for the GIL, which else had to wait until the interpreter
 * takes it from an owner that always has something to do.
 */
static int look_at_fds(AioContextObject *c, struct wait *w, bool lets_go)
{
    PyThreadState *ts = lets_go ? context_gil_drop(c, OWNER_YIELDS) : NULL;

    if (c->handlers.count) {
        w->removals = c->handlers.removals;
        w->n_events = fdmon_wait(&c->fdmon, 0, w->events);
        c->looked_ns = clock_now_ns();
    }
    if (lets_go) {
        context_gil_take(c, ts);
    }
    if (w->n_events < 0) {
        raise_errno(w->n_events);
        return -1;
    }
    return 0;
}

static int turn(AioContextObject *c, int64_t timeout_ns, bool for_loop,
                bool *progress)
{
    struct wait w;
    struct notify *notify;
    struct foreign_wait foreign;
    bool blocking = timeout_ns != 0;
    int ret = 0;

    *progress = false;
    if (begin(c) < 0) {
        return -1;
    }
    notify = &c->core->notify;
    w.poll = c->polls;
    w.pollable = NULL;
    w.n_events = 0;
    foreign = foreign_suspend(c);
    if (blocking) {
        notify_raise(notify, NOTIFY_STEP);
    }
    context_absorb(c);
    w.removals = c->handlers.removals;
    timeout_ns = soonest_timeout_ns(timeout_ns, wait_due_ns(c));
    if (timeout_ns != 0) {
        ret = wait_for_work(c, &w, timeout_ns);
        if (ret == 0 && nothing_happened(c, &w)) {
            counter_add(&c->stats.spurious_wakeups, 1);
        }
    }
    if (ret == 0 && !w.n_events && !looked_just_now(c, &w, timeout_ns)) {
        /* One turn between two waits is soon over, and has just let go. */
        ret = look_at_fds(c, &w, timeout_ns == 0 && !c->waited);
    }
    c->waited = timeout_ns != 0;
    if (blocking) {
        notify_unblock(notify); /* prepare() in a callback of the wait */
        notify_lower(notify, NOTIFY_STEP);
    }
    accept_events(c, &w);
    if (ret == 0 && c->owner.is_main) {
        /* In each turn: nobody else looks where C code polls in a loop. */
        ret = PyErr_CheckSignals();
    }
    if (ret == 0) {
        counter_add(&c->stats.turns, 1);
        ret = dispatch(c, &w, for_loop, progress);
    }
    if (w.pollable) {
        handlers_unref_all(w.pollable);
    }
    if (ret == 0) {
        ret = context_check_open(c); /* a callback has forked: the child */
    }
    if (!c->closed) {
        foreign_resume(c, foreign);
    }
    end(c);
    return ret;
}

int context_poll(AioContextObject *c, int64_t timeout_ns, bool *progress)
{
    return turn(c, timeout_ns, false, progress);
}

int context_poll_for_loop(AioContextObject *c, int64_t timeout_ns, bool *behind)
{
    bool progress;
    int ret = turn(c, timeout_ns, true, &progress);

    /* Said again until it is done: an exception may come before it is heard. */
    *behind = c->behind;
    return ret;
}

int context_dispatch_rest(AioContextObject *c, bool *behind)
{
    bool progress;
    int ret;

    if (begin(c) < 0) {
        return -1;
    }
    c->behind = false;
    ret = context_dispatch_work(c, true, &progress);
    *behind = c->behind;
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

    wait_begin(c, &w, timeout_ns);
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
    if (c->foreign_wait_ns && completion_list_peek(&c->core->list)) {
        struct wait w = {.start_ns = c->foreign_wait_ns,
                         .end_ns = clock_now_ns(),
                         .work = true};

        poll_phase_tune(c, &w);
        c->foreign_wait_ns = 0;
    }
}

int context_prepare(AioContextObject *c, int64_t *timeout_ns)
{
    struct foreign_wait found;
    struct notify *notify;
    int hit = 0;

    if (begin(c) < 0) {
        return -1;
    }
    notify = &c->core->notify;
    found = foreign_suspend(c);
    context_absorb(c);
    *timeout_ns = wait_due_ns(c);
    notify_raise(notify, NOTIFY_FOREIGN);
    if (*timeout_ns != 0) {
        c->told_ns = 0; /* signal handlers run: nobody waits yet */
        hit = foreign_poll(c, *timeout_ns);
        foreign_suspend(c); /* one of them may have called check(), or not */
        notify_raise(notify, NOTIFY_FOREIGN);
    }
    if (hit < 0) {
        foreign_suspend(c);
        foreign_resume(c, found);
        end(c);
        return -1;
    }
    if (hit > 0 || !notify_may_block(notify, &c->core->list)) {
        *timeout_ns = 0;
    } else {
        *timeout_ns = wait_due_ns(
            c); /* time has passed, signal handlers have run */
    }
    c->told_ns = *timeout_ns ? wait_due_at_ns(c) : 0;
    end(c);
    return 0;
}

/* No fd is registered: what the wait has reported was closed. */
static void drop_ghosts(AioContextObject *c, struct wait *w)
{
    int i = 0;

    while (w->events[i].gen == 0) {
        i++;
    }
    handlers_drop_ghost(&c->handlers, &c->fdmon, w->events[i].fd);
    w->n_events = 0;
}

int context_check(AioContextObject *c, bool *ready)
{
    struct wait w = {.n_events = 0};

    if (begin(c) < 0) {
        return -1;
    }
    foreign_suspend(c);
    w.n_events = fdmon_wait(&c->fdmon, 0, w.events);
    if (w.n_events < 0) {
        end(c);
        raise_errno(w.n_events);
        return -1;
    }
    accept_events(c, &w);
    if (!c->handlers.count && user_events(&w)) {
        /* dispatch() looks at no fd then, and the foreign loop would spin. */
        drop_ghosts(c, &w);
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
