/* SPDX-License-Identifier: MIT
 *
 * See fd_polls.h.
 */
#include "source/fd_polls.h"
#include "aio/context.h"

/* So many times what a look takes passes between two: words are looked at meanwhile. */
#define LOOK_SHARE  3
#define LOOK_MIN_NS 1000
/* Weight of the newest look: 1/8. */
#define COST_SHIFT 3
/* Waits in a row of which polling saves nothing, until none is polled for. */
#define VAIN_MAX 16
/* What ends a block sooner than any wake-up was ready. */
#define READY_NS 5000
/* No more of a wait counts: nothing was asked of anybody. */
#define PAUSE_NS NS_PER_MS
#define STALE_NS NS_PER_SECOND

static struct fd_polls *polls_of(struct aio_source *s)
{
    return container_of(s, struct fd_polls, source);
}

static bool has_fds(const struct aio_context *c)
{
    return c->fds.count && !c->fdmon.haunted;
}

/* Its own wait, and not beside calls: whether they are polled for has been measured. */
static bool waits_for_fds(struct aio_context *c)
{
    return has_fds(c) &&
           !atomic_load_explicit(&c->core->in_flight, memory_order_relaxed);
}

/* What it takes to be woken by an fd: no more is known of it. */
static int64_t wake_ns(const struct aio_context *c)
{
    return c->sleep.wake_ns ? c->sleep.wake_ns : POLL_MAX_NS_DEFAULT;
}

static int64_t cpu_ns(struct aio_context *c)
{
    return cpu_time_of_process_ns(&c->core->cpus.time);
}

static void begin_epoch(struct fd_polls *polls, int64_t now_ns,
                        int64_t now_cpu_ns)
{
    polls->begin_ns = now_ns;
    polls->cpu_ns = now_cpu_ns;
    polls->paused_ns = polls->events = 0;
}

static void show_costs(const struct fd_polls *polls)
{
    struct aio_stats *stats = &polls->source.context->stats;

    counter_set(&stats->polled_event_ns, (uint64_t)polls->trial.cost_ns[0]);
    counter_set(&stats->blocked_event_ns,
                (uint64_t)polls->trial.cost_ns[1u << BIT_BLOCK]);
}

static void take_way(struct fd_polls *polls, enum trial_verdict verdict)
{
    struct aio_context *c = polls->source.context;
    const struct poll_trial *t = &polls->trial;
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
    struct fd_polls *polls = polls_of(s);

    if (poll_trial_drop(&polls->trial) || polls->trial.way) {
        polls->trial.way = 0;
        take_way(polls, TRIAL_LOST);
    }
    poll_window_init(&polls->window, 0);
    poll_trial_init(&polls->trial);
    show_costs(polls);
    s->poll_ns = polls->begin_ns = 0;
}

/* Calls are waited for too, or nothing was for long: what was measured is of no use. */
static void interrupt(struct fd_polls *polls)
{
    if (poll_trial_pause(&polls->trial, 0, 0)) {
        take_way(polls, TRIAL_LOST);
    }
    polls->begin_ns = 0;
}

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    struct fd_polls *polls = polls_of(s);

    s->poll_ns = polls->looks = 0;
    if (!waits_for_fds(c)) {
        if (polls->begin_ns) {
            interrupt(polls);
        }
        return 0;
    }
    if (!polls->begin_ns) {
        begin_epoch(polls, w->start_ns, cpu_ns(c));
    }
    if (!polls->trial.way && !cpu_pair_is_single(&c->core->cpus)) {
        s->poll_ns = poll_window_next_ns(&polls->window, &c->params,
                                         wake_ns(c));
    }
    if (s->poll_ns) {
        *out = (struct wait_plan){.choice = WAIT_POLL, .window_ns = s->poll_ns};
    }
    return 0;
}

static int64_t look_ns(struct aio_source *s, struct aio_wait *w)
{
    int64_t ns = LOOK_SHARE * polls_of(s)->cost_ns;

    (void)w;
    if (!has_fds(s->context)) {
        return 0;
    }
    if (!s->poll_ns) {
        return FD_LOOK_NS;
    }
    return ns > LOOK_MIN_NS ? ns : LOOK_MIN_NS;
}

/* A look that takes longer than one in ten microseconds allows was interrupted. */
static void learn_cost(struct fd_polls *polls, int64_t ns)
{
    int64_t max_ns = FD_LOOK_NS / LOOK_SHARE;

    polls->cost_ns += ((ns < max_ns ? ns : max_ns) - polls->cost_ns) >>
                      COST_SHIFT;
}

/* Not once with the GIL: who looks for a call would have to wait for that call's. */
static int look(struct aio_source *s, struct aio_wait *w)
{
    struct aio_context *c = s->context;
    struct fd_polls *polls = polls_of(s);
    int n = fdmon_wait(&c->fdmon, 0, w->events);

    c->looked_ns = w->end_ns;
    if (s->poll_ns) {
        c->looked_ns = clock_now_ns();
        learn_cost(polls, c->looked_ns - w->end_ns);
        polls->looks++;
    }
    w->n_events = n > 0 ? n : 0;
    return n > 0 ? 1 : n;
}

/* What events have cost until the end of this wait; the other way may be due. */
static void judge(struct fd_polls *polls, int64_t now_ns)
{
    int64_t ns = now_ns - polls->begin_ns - polls->paused_ns;
    struct call_costs epoch;
    enum trial_verdict verdict;
    int64_t now_cpu_ns;

    if (now_ns - polls->begin_ns > STALE_NS) {
        interrupt(polls);
        return;
    }
    if (!poll_trial_is_due(&polls->trial, polls->events, ns)) {
        return;
    }
    now_cpu_ns = cpu_ns(polls->source.context);
    epoch = (struct call_costs){
        .calls = polls->events,
        .ns = ns,
        .cpu_ns = now_cpu_ns - polls->cpu_ns,
    };
    verdict = poll_trial_next(&polls->trial, &epoch, 0);
    if (verdict != TRIAL_NONE) {
        take_way(polls, verdict);
    }
    show_costs(polls);
    begin_epoch(polls, now_ns, now_cpu_ns);
}

/*
 * The window after a wait: what is ready at the first look is not polled for, nor what
 * something else comes before.
 */
static void tune(struct fd_polls *polls, bool woken, bool fired,
                 int64_t block_ns)
{
    struct aio_context *c = polls->source.context;
    bool ready = polls->looks ? polls->looks == 1 : block_ns < READY_NS;
    bool vain = fired ? ready : block_ns <= c->params.max_ns;

    polls->vain = vain ? polls->vain + 1 : 0;
    if (polls->vain >= VAIN_MAX) {
        poll_window_init(&polls->window, 0);
    } else if (!vain) {
        if (woken) {
            block_ns = poll_tuner_wait_ns(block_ns, wake_ns(c), wake_ns(c));
        }
        aio_source_trace(c,
                         poll_window_tune(&polls->window, &c->params, block_ns),
                         polls->window.poll_ns);
    }
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct aio_context *c = s->context;
    struct fd_polls *polls = polls_of(s);
    int events;

    if (!polls->begin_ns) {
        return; /* not its wait */
    }
    events = aio_wait_user_events(w);
    tune(polls, !w->arrived, events > 0, block_ns);
    polls->events += events;
    if (w->end_ns - w->start_ns > PAUSE_NS) {
        polls->paused_ns += w->end_ns - w->start_ns - PAUSE_NS;
    }
    if (!poll_slopes_are_set(&c->params)) {
        judge(polls, w->end_ns);
    }
}

static const struct aio_source_ops fd_polls_ops = {
    .plan = plan,
    .look_ns = look_ns,
    .look = look,
    .learn = learn,
    .forget = forget,
};

void fd_polls_init(struct fd_polls *polls, struct aio_context *c)
{
    polls->source.ops = &fd_polls_ops;
    aio_source_add(c, &polls->source);
    forget(&polls->source);
}
