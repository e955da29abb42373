/* SPDX-License-Identifier: MIT
 *
 * See calls.h.
 */
#include "source/calls.h"
#include "aio/context.h"

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    /* Relaxed: the owner's own submits are in; others come with a node. */
    uint32_t in_flight = atomic_load_explicit(&c->core->in_flight,
                                              memory_order_relaxed);

    w->work = in_flight != 0;
    if (!w->work) {
        return 0;
    }
    out->choice = WAIT_BLOCK;
    if (!cpu_pair_is_single(&c->core->cpus)) {
        *out = call_table_plan(&c->core->calls, &c->params, &c->sleep,
                               in_flight, s->poll_ns, w->start_ns);
    }
    return 0;
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

static void forget(struct aio_source *s)
{
    s->poll_ns = 0;
    call_table_reset(&s->context->core->calls);
}

static const struct aio_source_ops calls_ops = {
    .plan = plan,
    .learn = learn,
    .forget = forget,
};

void calls_init(struct aio_source *s)
{
    s->ops = &calls_ops;
}
