/* SPDX-License-Identifier: MIT
 *
 * See turn.h.
 */
#include "turn/turn.h"
#include "turn/foreign.h"

/*
 * The order is part of the interface: work, then sources, then timers.  What there is
 * none of is not asked: in most turns of an event loop each call is a cache miss.
 */
static int dispatch(struct aio_context *c, struct aio_wait *w,
                    enum aio_dispatcher who, bool *progress)
{
    int ret = 0;

    aio_absorb(c);
    if ((c->batch_head || c->idle_head) && !(who == AIO_SELECT && c->behind)) {
        ret = aio_dispatch_work(c, who, progress);
    }
    for (struct aio_source *s = c->sources; s && ret == 0; s = s->next) {
        ret = s->ops->dispatch ? s->ops->dispatch(s, w, progress) : 0;
    }
    if (ret == 0 && c->timers.used) {
        ret = timers_dispatch(&c->timers, progress);
    }
    return ret;
}

static bool nothing_happened(struct aio_context *c, const struct aio_wait *w)
{
    return !aio_wait_user_events(w) && !wait_notified(c, w) &&
           !aio_poll_progress(c->core) && !w->arrived &&
           time_left_ns(w->deadline_ns) != 0;
}

/* Whether a turn that waited, and hit, may leave the fds to the next one. */
static bool looked_just_now(struct aio_context *c, const struct aio_wait *w,
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
static int look_at_fds(struct aio_context *c, struct aio_wait *w, bool lets_go)
{
    if (lets_go) {
        aio_leave(c, OWNER_YIELDS, false);
    }
    if (c->fds.count) {
        w->removals = c->fds.removals;
        w->n_events = fdmon_wait(&c->fdmon, 0, w->events);
        c->looked_ns = clock_now_ns();
    }
    if (lets_go) {
        aio_enter(c, false);
    }
    return w->n_events < 0 ? w->n_events : 0;
}

int aio_turn(struct aio_context *c, int64_t timeout_ns, enum aio_dispatcher who,
             bool *progress)
{
    struct notify *notify = &c->core->notify;
    struct aio_wait w;
    struct foreign_wait foreign;
    bool blocking = timeout_ns != 0;
    int ret = 0;

    w.poll = c->polls;
    w.foreign = false;
    w.host_state = NULL;
    w.n_events = 0;
    foreign = aio_foreign_suspend(c);
    if (blocking) {
        notify_raise(notify, NOTIFY_STEP);
    }
    aio_absorb(c);
    w.removals = c->fds.removals;
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
    wait_accept(c, &w);
    if (c->fdmon.haunted && !c->closed) {   /* else the child of a fork */
        fds_begin_anew(&c->fds, &c->fdmon); /* there may be an fd now */
    }
    if (ret == 0) {
        /* In each turn: nobody else looks where C code polls in a loop. */
        ret = c->host->signals(c);
    }
    if (ret == 0) {
        counter_add(&c->stats.turns, 1);
        ret = dispatch(c, &w, who, progress);
    }
    wait_finish(c, &w);
    if (!c->closed) { /* else a callback has forked: this is the child */
        aio_foreign_resume(c, foreign);
    }
    return ret;
}
