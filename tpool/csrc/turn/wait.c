/* SPDX-License-Identifier: MIT
 *
 * See wait.h.
 */
#include "turn/wait.h"
#include "base/os_thread.h"

/* How often the owner counts the CPUs that it may use: an affinity, or the quota
 * of a control group, may change at any time. */
#define CPUS_LOOK_NS NS_PER_SECOND
/* To move where the worker is may take a turn of its CPU: not with less time left. */
#define MEET_NS (5 * NS_PER_MS)
/* For so long fds that were the context's own are taken to be it still. */
#define SHOWN_NS NS_PER_MS

/* When idle bottom halves, or what nothing tells of, are looked at. */
static int64_t idle_ns(struct aio_context *c)
{
    int64_t untold_ns = soonest_timeout_ns(c->fdmon.haunted ? FDMON_HAUNTED_NS
                                                            : -1,
                                           c->unwoken_ns ? c->unwoken_ns : -1);

    untold_ns = soonest_timeout_ns(untold_ns, aio_sources_retry_ns(c));
    return soonest_timeout_ns(aio_idle_timeout_ns(c), untold_ns);
}

int64_t wait_due_ns(struct aio_context *c)
{
    if (c->batch_head || notify_is_notified(&c->core->notify) ||
        aio_sources_peek(c)) {
        return 0;
    }
    return soonest_timeout_ns(idle_ns(c), timers_timeout_ns(&c->timers));
}

int64_t wait_due_at_ns(struct aio_context *c)
{
    return soonest_timeout_ns(deadline_in_ns(idle_ns(c)),
                              timers_expire_ns(&c->timers));
}

/*
 * Callbacks and signal handlers have run since the turn began.  Whether there
 * is still nothing to do; a timer may be due sooner than it was.
 */
static bool still_nothing_due(struct aio_context *c, struct aio_wait *w)
{
    int64_t timeout_ns = wait_due_ns(c);

    w->deadline_ns = soonest_timeout_ns(w->deadline_ns,
                                        deadline_in_ns(timeout_ns));
    /* A nested poll() may have dispatched, or accepted, what was ours. */
    return timeout_ns != 0 && c->polls == w->poll;
}

/* Something has come during a nap: had it been over, if it had been in time? */
static void nap_cut_short(struct aio_context *c, const struct aio_wait *w)
{
    int64_t wake_ns = atomic_load_explicit(&c->core->notify.wake_ns,
                                           memory_order_relaxed);

    if (wake_ns > w->nap_ns) {
        sleep_costs_late(&c->sleep, clock_now_ns() - w->nap_ns, false);
    }
}

/* Language released.  Something may come before the nap is over, or in the phase after. */
static int nap_until(struct aio_context *c, struct aio_wait *w,
                     int64_t until_ns)
{
    /* Who sleeps runs nothing that would inherit it. */
    long slack_ns = os_thread_be_punctual();
    int64_t left_ns = time_left_ns(until_ns);
    int n = aio_poll_block(c->core, &c->fdmon, left_ns, w->events);

    os_thread_set_slack(slack_ns);
    if (n == 0) {
        return poll_phase_after_nap(c, w, left_ns != 0);
    }
    nap_cut_short(c, w);
    return n;
}

/* Blocks until something comes.  Returns 0, -errno or AIO_RAISED. */
static int block(struct aio_context *c, struct aio_wait *w)
{
    struct aio_core *core = c->core;
    int64_t begin_ns = clock_now_ns();
    int guarded = 0, n = 0;

    if (begin_ns - c->cpus_ns > CPUS_LOOK_NS) {
        /* Who polls all the time sees the partner on its CPU, and comes here. */
        c->cpus_ns = begin_ns;
        cpu_pair_look(&core->cpus);
    }
    /* Unless a callback has forked, and this is the child. */
    if (c->polls == w->poll && begin_ns - c->shown_ns > SHOWN_NS) {
        if (fdmon_is_gone(&c->fdmon)) {
            return -EBADF;
        }
        c->shown_ns = begin_ns;
    }
    guarded = c->host->guard(c);
    if (guarded < 0) {
        return guarded;
    }
    if (still_nothing_due(c, w) &&
        (w->nap_ns && w->plan.batch
             ? notify_may_nap(&core->notify, &core->list)
             : notify_may_block(&core->notify, &core->list))) {
        int64_t until_ns = soonest_timeout_ns(w->deadline_ns,
                                              w->nap_ns ? w->nap_ns : -1);

        aio_leave(c, OWNER_WAITS, true);
        if (until_ns < 0 || until_ns - begin_ns > MEET_NS) {
            cpu_pair_meet(&core->cpus, &c->parting);
        }
        n = w->nap_ns ? nap_until(c, w, until_ns)
                      : aio_poll_block(core, &c->fdmon, time_left_ns(until_ns),
                                       w->events);
        aio_enter(c, true);
    }
    if (guarded) {
        c->host->unguard(c);
    }
    cpu_publish(&core->cpus.owner);
    w->end_ns = clock_now_ns();
    trace_emit_at(c->core->trace, TRACE_BLOCK, c->name,
                  (w->polled_ns ? w->polled_from_ns : w->end_ns) - begin_ns,
                  begin_ns);
    counter_add(&c->stats.blocked_ns,
                (uint64_t)(w->end_ns - begin_ns - w->polled_ns));
    w->polled_ns = 0;
    if (n < 0) {
        return n;
    }
    w->n_events = n;
    c->looked_ns = w->end_ns;
    return c->host->signals(c);
}

static bool polling_is_on(struct aio_context *c)
{
    return c->params.max_ns > 0 &&
           (c->interleaved || !counter_get(&c->fds.blind));
}

int wait_begin(struct aio_context *c, struct aio_wait *w, int64_t timeout_ns)
{
    w->start_ns = w->end_ns = clock_now_ns();
    w->nap_ns = w->polled_ns = w->look_ns = w->host_look_ns = 0;
    w->deadline_ns = deadline_after_ns(w->start_ns, timeout_ns);
    w->work = w->arrived = false;
    w->peeks.n = w->n_lookers = w->begun = 0;
    w->plan = (struct wait_plan){.choice = WAIT_QUIET};
    cpu_publish(&c->core->cpus.owner);
    return polling_is_on(c) ? poll_phase_plan(c, w) : 0;
}

/* Whether what is waited for is slept through, and then polled for. */
static bool naps(const struct aio_wait *w)
{
    return w->plan.choice == WAIT_NAP &&
           remaining_ns(w->start_ns + w->plan.nap_ns, w->deadline_ns) != 0;
}

/* Sleeps through most of a call.  1: something came, 0: nothing, else an error. */
static int nap(struct aio_context *c, struct aio_wait *w)
{
    int ret;

    counter_add(&c->stats.naps, 1);
    trace_emit(c->core->trace, TRACE_POLL_NAP, c->name, w->plan.nap_ns);
    w->nap_ns = w->start_ns + w->plan.nap_ns;
    ret = block(c, w);
    w->nap_ns = 0;
    if (ret < 0) {
        return ret;
    }
    return w->n_events > 0 || w->arrived || aio_poll_progress(c->core) ||
           wait_due_ns(c) == 0 ||
           remaining_ns(w->end_ns, w->deadline_ns) == 0 || c->polls != w->poll;
}

int wait_for_work(struct aio_context *c, struct aio_wait *w, int64_t timeout_ns)
{
    int hit = wait_begin(c, w, timeout_ns);
    bool outer = aio_begin_to_wait(c, w->start_ns);

    if (hit == 0) {
        hit = naps(w) ? nap(c, w) : poll_phase_run(c, w);
    }
    if (hit == 0) {
        hit = block(c, w);
    }
    if (outer) {
        aio_end_to_wait(c, w->end_ns);
    }
    if (hit >= 0) {
        poll_phase_learn(c, w);
    }
    return hit < 0 ? hit : 0;
}

void wait_finish(struct aio_context *c, struct aio_wait *w)
{
    for (struct aio_source *s = w->host_state ? c->sources : NULL; s;
         s = s->next) {
        if (s->ops->finish) {
            s->ops->finish(s, w);
        }
    }
}

bool wait_notified(struct aio_context *c, const struct aio_wait *w)
{
    return fdmon_reported(w->events, w->n_events, c->core->notify.notifier.rfd);
}

void wait_accept(struct aio_context *c, const struct aio_wait *w)
{
    notify_accept(&c->core->notify, wait_notified(c, w));
    if (fdmon_reported(w->events, w->n_events, c->signal_pipe->rfd)) {
        c->host->pass_on(c);
    }
}
