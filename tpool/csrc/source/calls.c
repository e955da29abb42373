/* SPDX-License-Identifier: MIT
 *
 * See calls.h.
 */
#include "source/calls.h"
#include "aio/context.h"

static int64_t polled_ns(const struct calls_source *calls)
{
    return (int64_t)counter_get(&calls->source.context->stats.polled_ns);
}

/* By a way, polled for as calls are now; or else, where only that is known. */
static uint64_t known_ns(const struct poll_trial *t, unsigned way)
{
    int64_t cost_ns = t->cost_ns[way];

    return (uint64_t)(cost_ns ? cost_ns : t->cost_ns[way ^ 1u << BIT_BLOCK]);
}

static void show_costs(const struct calls_source *calls)
{
    struct aio_stats *stats = &calls->source.context->stats;
    const struct poll_trial *t = &calls->trial.trial;
    unsigned blocks = 1u << BIT_BLOCK, serial = 1u << BIT_SERIAL;
    unsigned few = 1u << BIT_FEW, way = poll_trial_kept(t);
    unsigned many = way & ~(serial | few);
    uint64_t serial_ns = known_ns(t, way | serial);

    counter_set(&stats->polled_call_ns, (uint64_t)t->cost_ns[way & ~blocks]);
    counter_set(&stats->blocked_call_ns, (uint64_t)t->cost_ns[way | blocks]);
    counter_set(&stats->fanned_call_ns, known_ns(t, many));
    counter_set(&stats->few_call_ns, known_ns(t, many | few));
    counter_set(&stats->serial_call_ns,
                serial_ns ? serial_ns : known_ns(t, many | serial));
}

/* Owner.  Goes the way that is taken from now on, if that may be another. */
static void follow(struct calls_source *calls, enum trial_verdict verdict)
{
    struct aio_context *c = calls->source.context;
    bool blocks = cpu_pair_blocks(&c->core->cpus);

    if (calls->trial.begin_ns == calls->seen_ns) {
        return;
    }
    calls->seen_ns = calls->trial.begin_ns;
    if (blocks != calls->blocks) {
        calls->blocks = blocks;
        cpu_parting_expect(&c->parting, blocks);
    }
    counter_add(&c->stats.trials, verdict == TRIAL_BEGUN);
    counter_add(&c->stats.trials_won, verdict == TRIAL_WON);
    show_costs(calls);
}

static void forget(struct aio_source *s)
{
    struct calls_source *calls = container_of(s, struct calls_source, source);

    s->poll_ns = 0;
    call_table_reset(&s->context->core->calls);
    call_trial_reset(&calls->trial);
    show_costs(calls);
}

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    struct calls_source *calls = container_of(s, struct calls_source, source);
    /* Relaxed: the owner's own submits are in; others come with a node. */
    uint32_t in_flight = atomic_load_explicit(&c->core->in_flight,
                                              memory_order_relaxed);
    bool single = cpu_pair_is_single(&c->core->cpus);

    if (!single && !poll_slopes_are_set(&c->params)) {
        follow(calls, call_trial_look_back(&calls->trial, w->start_ns,
                                           polled_ns(calls)));
    }
    w->work = in_flight != 0;
    if (!w->work) {
        return 0;
    }
    out->choice = WAIT_BLOCK;
    if (!single && !cpu_pair_blocks(&c->core->cpus)) {
        *out = call_table_plan(&c->core->calls, &c->params, &c->sleep,
                               in_flight, s->poll_ns, w->start_ns,
                               c->host->exclusive && !w->foreign &&
                                   cpu_pair_abreast(&c->core->cpus) == 1);
    }
    return 0;
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct aio_context *c = s->context;
    struct calls_source *calls = container_of(s, struct calls_source, source);
    struct cpu_pair *cpus = &c->core->cpus;
    struct call_place *place = NULL;
    enum poll_verdict verdict;

    if (!w->work || cpu_pair_is_single(cpus)) {
        return;
    }
    if (!poll_slopes_are_set(&c->params)) {
        follow(calls,
               call_trial_judge(&calls->trial, w->end_ns, polled_ns(calls)));
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
    calls->seen_ns = 0;
    calls->blocks = false;
    call_trial_init(&calls->trial, c->core, c->name);
    forget(&calls->source);
}
