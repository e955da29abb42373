/* SPDX-License-Identifier: MIT
 *
 * See event_trial.h.
 */
#include "source/event_trial.h"
#include "aio/context.h"

/* No more of a wait counts: nothing was asked of anybody. */
#define PAUSE_NS NS_PER_MS
#define STALE_NS NS_PER_SECOND

static struct event_trial *trial_of(struct aio_source *s)
{
    return container_of(s, struct event_trial, source);
}

static int64_t cpu_ns(struct aio_context *c)
{
    return cpu_time_of_process_ns(&c->core->cpus.time);
}

/* Posts that have been called back; those of this wait are of the next. */
static uint64_t posts_run(const struct aio_context *c)
{
    return counter_get(&c->core->posts_run);
}

static void begin_epoch(struct event_trial *t, int64_t now_ns,
                        int64_t now_cpu_ns)
{
    t->begin_ns = now_ns;
    t->cpu_ns = now_cpu_ns;
    t->paused_ns = t->fd_events = 0;
    t->posts_run = posts_run(t->source.context);
}

static void show_costs(const struct event_trial *t)
{
    struct aio_stats *stats = &t->source.context->stats;

    counter_set(&stats->polled_event_ns, (uint64_t)t->trial.cost_ns[0]);
    counter_set(&stats->blocked_event_ns,
                (uint64_t)t->trial.cost_ns[1u << BIT_BLOCK]);
}

static void take_way(const struct event_trial *et, enum trial_verdict verdict)
{
    struct aio_context *c = et->source.context;
    const struct poll_trial *t = &et->trial;
    enum trace_kind kind = verdict == TRIAL_BEGUN ? TRACE_POLL_TRIAL
                           : t->way               ? TRACE_POLL_COSTS
                                                  : TRACE_POLL_PAYS;

    if (verdict == TRIAL_DOUBTS) {
        trace_emit(c->core->trace, TRACE_TRIAL_DOUBTED, c->name,
                   call_costs_each_ns(&t->found));
        return;
    }
    counter_add(&c->stats.trials, verdict == TRIAL_BEGUN);
    counter_add(&c->stats.trials_won, verdict == TRIAL_WON);
    trace_emit(c->core->trace, kind, c->name, t->cost_ns[poll_trial_kept(t)]);
}

static void forget(struct aio_source *s)
{
    struct event_trial *t = trial_of(s);

    if (poll_trial_drop(&t->trial) || t->trial.way) {
        t->trial.way = 0;
        take_way(t, TRIAL_LOST);
    }
    poll_trial_init(&t->trial);
    show_costs(t);
    t->begin_ns = 0;
}

/* Calls are waited for too, or nothing was for long: what was measured is of no use. */
static void interrupt(struct event_trial *t)
{
    if (poll_trial_pause(&t->trial, 0, 0)) {
        take_way(t, TRIAL_LOST);
    }
    t->begin_ns = 0;
}

/* Not beside calls: whether they are polled for has been measured. */
static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    struct event_trial *t = trial_of(s);
    bool calls = atomic_load_explicit(&c->core->in_flight,
                                      memory_order_relaxed);

    (void)out;
    if (calls && event_trial_is_on(t)) {
        interrupt(t);
    } else if (!calls && !event_trial_is_on(t)) {
        begin_epoch(t, w->start_ns, cpu_ns(c));
    }
    return 0;
}

/* What events have cost until the end of this wait; the other way may be due. */
static void judge(struct event_trial *t, int64_t now_ns)
{
    struct aio_context *c = t->source.context;
    struct call_costs epoch = {
        .calls = t->fd_events + (int64_t)(posts_run(c) - t->posts_run),
        .ns = now_ns - t->begin_ns - t->paused_ns,
    };
    enum trial_verdict verdict;
    int64_t now_cpu_ns;

    if (now_ns - t->begin_ns > STALE_NS) {
        interrupt(t);
        return;
    }
    if (!poll_trial_is_due(&t->trial, epoch.calls, epoch.ns)) {
        return;
    }
    now_cpu_ns = cpu_ns(c);
    epoch.cpu_ns = now_cpu_ns - t->cpu_ns;
    verdict = poll_trial_next(&t->trial, &epoch, 0);
    if (verdict != TRIAL_NONE) {
        take_way(t, verdict);
    }
    show_costs(t);
    begin_epoch(t, now_ns, now_cpu_ns);
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct event_trial *t = trial_of(s);
    int64_t wait_ns = w->end_ns - w->start_ns;

    (void)block_ns;
    if (!event_trial_is_on(t) || poll_slopes_are_set(&s->context->params)) {
        return;
    }
    t->fd_events += aio_wait_user_events(w);
    t->paused_ns += wait_ns > PAUSE_NS ? wait_ns - PAUSE_NS : 0;
    judge(t, w->end_ns);
}

static const struct aio_source_ops event_trial_ops = {
    .plan = plan,
    .learn = learn,
    .forget = forget,
};

void event_trial_init(struct event_trial *t, struct aio_context *c)
{
    t->source.ops = &event_trial_ops;
    aio_source_add(c, &t->source);
    forget(&t->source);
}
