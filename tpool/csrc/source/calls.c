/* SPDX-License-Identifier: MIT
 *
 * See calls.h.
 */
#include "source/calls.h"
#include "aio/context.h"

/* The owner's own CPU time counts where calls are in flight this part of the time. */
#define SPARSE 4
/* Where none was for so long an epoch begins anew, and where it lasts so long. */
#define PAUSE_NS NS_PER_MS
#define STALE_NS NS_PER_SECOND
/* So often without one that could end between: nothing can be measured. */
#define PAUSES_MAX 8

static void begin_epoch(struct calls_source *calls, int64_t now_ns)
{
    struct aio_context *c = calls->source.context;

    calls->begin_ns = calls->until_ns = now_ns;
    calls->cpu_ns = clock_process_cpu_ns();
    calls->own_cpu_ns = clock_thread_cpu_ns();
    calls->polled_ns = (int64_t)counter_get(&c->stats.polled_ns);
    calls->done = c->core->done;
    calls->flown_ns = 0;
}

/* CPU time that calls have cost since the epoch began. */
static int64_t cpu_of_calls_ns(const struct calls_source *calls, int64_t now_ns)
{
    struct aio_context *c = calls->source.context;
    int64_t cpu_ns = clock_process_cpu_ns() - calls->cpu_ns;

    if ((now_ns - calls->begin_ns) / SPARSE > calls->flown_ns) {
        /* What the owner does between calls would be more than they cost. */
        cpu_ns += (int64_t)counter_get(&c->stats.polled_ns) - calls->polled_ns -
                  clock_thread_cpu_ns() + calls->own_cpu_ns;
    }
    return cpu_ns > 0 ? cpu_ns : 0; /* a child's begins anew */
}

static void show_costs(const struct calls_source *calls)
{
    struct aio_stats *stats = &calls->source.context->stats;
    const struct poll_trial *t = &calls->trial;
    unsigned blocks = 1u << BIT_BLOCK, serial = 1u << BIT_SERIAL;

    counter_set(&stats->polled_call_ns, (uint64_t)t->cost_ns[t->way & ~blocks]);
    counter_set(&stats->blocked_call_ns, (uint64_t)t->cost_ns[t->way | blocks]);
    counter_set(&stats->fanned_call_ns, (uint64_t)t->cost_ns[t->way & ~serial]);
    counter_set(&stats->serial_call_ns, (uint64_t)t->cost_ns[t->way | serial]);
}

static void tell(struct aio_context *c, int bit, bool set, int64_t cost_ns)
{
    static const enum trace_kind told[][2] = {
        {TRACE_POLL_PAYS, TRACE_POLL_COSTS},
        {TRACE_SERIAL_COSTS, TRACE_SERIAL_PAYS},
    };

    trace_emit(c->core->trace, told[bit][set], c->name, cost_ns);
}

/* A trial has begun, or is over: another way is taken. */
static void take_way(const struct calls_source *calls,
                     enum trial_verdict verdict)
{
    static const enum trace_kind begun[] = {TRACE_POLL_TRIAL,
                                            TRACE_SERIAL_TRIAL};
    struct aio_context *c = calls->source.context;
    const struct poll_trial *t = &calls->trial;
    bool set = t->way >> t->bit & 1;

    if (t->bit == BIT_BLOCK) {
        cpu_pair_set_blocks(&c->core->cpus, set);
        cpu_parting_expect(&c->parting, set);
    } else {
        cpu_pair_set_serial(&c->core->cpus, set);
    }
    if (verdict == TRIAL_BEGUN) {
        counter_add(&c->stats.trials, 1);
        trace_emit(c->core->trace, begun[t->bit], c->name,
                   t->cost_ns[t->way ^ (1u << t->bit)]);
    } else {
        counter_add(&c->stats.trials_won, verdict == TRIAL_WON);
        tell(c, t->bit, set, t->cost_ns[t->way]);
    }
}

/* Any thread that has the context.  The way is the first again; nothing is known. */
static void reset(struct calls_source *calls)
{
    struct aio_context *c = calls->source.context;
    unsigned changed = calls->trial.way;

    if (poll_trial_drop(&calls->trial)) {
        changed |= 1u << calls->trial.bit;
    }
    for (int bit = 0; bit < N_BITS; bit++) {
        if (changed >> bit & 1) {
            tell(c, bit, false, calls->trial.cost_ns[0]);
        }
    }
    poll_trial_init(&calls->trial);
    cpu_pair_set_blocks(&c->core->cpus, false);
    cpu_pair_set_serial(&c->core->cpus, false);
    show_costs(calls);
}

static void forget(struct aio_source *s)
{
    struct calls_source *calls = container_of(s, struct calls_source, source);

    s->poll_ns = 0;
    call_table_reset(&s->context->core->calls);
    reset(calls);
    calls->anew = true; /* by the owner, who alone knows its clock */
}

/* No call was in flight for a while: what was done meanwhile is not known. */
static void interrupt(struct calls_source *calls, int64_t now_ns)
{
    struct aio_context *c = calls->source.context;
    uint32_t in_flight = atomic_load_explicit(&c->core->in_flight,
                                              memory_order_relaxed);

    if (poll_trial_pause(&calls->trial, in_flight)) {
        take_way(calls, TRIAL_LOST);
    } else if (calls->trial.pauses > PAUSES_MAX && calls->trial.way) {
        reset(calls);
        cpu_parting_expect(&c->parting, false);
    }
    begin_epoch(calls, now_ns);
}

/* Before each wait. */
static void look_back(struct calls_source *calls, int64_t now_ns)
{
    struct aio_context *c = calls->source.context;
    int64_t flight_ns = atomic_load_explicit(&c->core->flight_ns,
                                             memory_order_relaxed);

    if (calls->anew) {
        calls->anew = false;
        c->parting.meets = false;
        begin_epoch(calls, now_ns);
    } else if (flight_ns > calls->until_ns + PAUSE_NS ||
               now_ns - calls->begin_ns > STALE_NS) {
        interrupt(calls, now_ns);
    }
}

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    /* Relaxed: the owner's own submits are in; others come with a node. */
    uint32_t in_flight = atomic_load_explicit(&c->core->in_flight,
                                              memory_order_relaxed);
    bool single = cpu_pair_is_single(&c->core->cpus);

    if (!single && !poll_slopes_are_set(&c->params)) {
        look_back(container_of(s, struct calls_source, source), w->start_ns);
    }
    w->work = in_flight != 0;
    if (!w->work) {
        return 0;
    }
    out->choice = WAIT_BLOCK;
    if (!single && !cpu_pair_blocks(&c->core->cpus)) {
        *out = call_table_plan(&c->core->calls, &c->params, &c->sleep,
                               in_flight, s->poll_ns, w->start_ns);
    }
    return 0;
}

/* What calls have cost until the end of this wait; the other way may be due. */
static void judge(struct calls_source *calls, int64_t now_ns)
{
    struct aio_core *core = calls->source.context->core;
    struct poll_trial *t = &calls->trial;
    int64_t n = core->done - calls->done;
    int64_t from_ns = atomic_load_explicit(&core->flight_ns,
                                           memory_order_relaxed);
    struct call_costs epoch;
    enum trial_verdict verdict;

    if (calls->anew || now_ns < calls->until_ns) {
        return; /* or a nested wait has counted it */
    }
    if (now_ns > from_ns) {
        /* Or some were in flight all the time. */
        calls->flown_ns += now_ns - (from_ns > calls->until_ns
                                         ? from_ns
                                         : calls->until_ns);
    }
    calls->until_ns = now_ns;
    if (!poll_trial_is_due(t, n, calls->flown_ns)) {
        return;
    }
    epoch = (struct call_costs){n, calls->flown_ns,
                                cpu_of_calls_ns(calls, now_ns)};
    verdict = poll_trial_next(
        t, &epoch,
        atomic_load_explicit(&core->in_flight, memory_order_relaxed));
    if (verdict != TRIAL_NONE) {
        take_way(calls, verdict);
    }
    show_costs(calls);
    begin_epoch(calls, now_ns);
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct aio_context *c = s->context;
    struct cpu_pair *cpus = &c->core->cpus;
    struct call_place *place = NULL;
    enum poll_verdict verdict;

    if (!w->work || cpu_pair_is_single(cpus)) {
        return;
    }
    if (!poll_slopes_are_set(&c->params)) {
        judge(container_of(s, struct calls_source, source), w->end_ns);
    }
    block_ns = poll_tuner_wait_ns(
        block_ns,
        atomic_load_explicit(&cpus->worker_lag_ns, memory_order_relaxed),
        c->sleep.wake_ns);
    if (c->batch_head) {
        struct work *first = work_of(c->batch_head);

        place = first->ops->place ? first->ops->place(first) : NULL;
    }
    verdict = call_table_tune(&c->core->calls, &c->params, place, block_ns);
    if (place && place->known_key) {
        s->poll_ns = place->known.poll.poll_ns;
        aio_source_trace(c, verdict, s->poll_ns);
    }
}

static const struct aio_source_ops calls_ops = {
    .plan = plan,
    .learn = learn,
    .forget = forget,
};

void calls_init(struct calls_source *calls, struct aio_context *c)
{
    calls->source.ops = &calls_ops;
    aio_source_add(c, &calls->source);
    forget(&calls->source);
}
