/* SPDX-License-Identifier: MIT
 *
 * What a wait teaches: the windows of its sources, and what a wake-up costs.
 */
#include "turn/poll_phase.h"

/* Waits in a row without a notify() until none is polled for. */
#define NOTIFY_MISSED_MAX 16

bool poll_phase_for_notify(const struct aio_context *c)
{
    return c->interleaved && c->params.max_ns > 0;
}

static void trace_verdict(struct aio_context *c, enum poll_verdict verdict,
                          int64_t next_ns)
{
    if (verdict != POLL_KEEP) {
        trace_emit(c->core->trace,
                   verdict == POLL_GROW ? TRACE_POLL_GROW : TRACE_POLL_SHRINK,
                   c->name, next_ns);
    }
}

/* One source's window after a wait; fired: its work ended the wait. */
static int64_t tune_source(struct aio_context *c, int64_t poll_ns,
                           int64_t block_ns, bool fired)
{
    enum poll_verdict verdict;
    int64_t next_ns;

    if (!fired && block_ns <= c->params.max_ns) {
        return poll_ns; /* another came first: nothing is learned */
    }
    next_ns = poll_tuner_next_ns(&c->params, poll_ns, block_ns, &verdict);
    trace_verdict(c, verdict, next_ns);
    return next_ns;
}

/* The same for the calls in flight, after a wait of block_ns. */
static void tune_calls(struct aio_context *c, int64_t block_ns)
{
    struct call_table *calls = &c->core->calls;
    struct call_place *place = NULL;
    enum poll_verdict verdict;

    if (c->batch_head) {
        struct work *first = work_of(c->batch_head);

        place = first->ops->place ? first->ops->place(first) : NULL;
    }
    verdict = call_table_tune(calls, &c->params, place, block_ns);
    if (place && place->source_key) {
        c->poll_ns = place->source.poll.poll_ns;
        trace_verdict(c, verdict, c->poll_ns);
    }
}

static bool handler_fired(const struct aio_wait *w, const struct fd_handler *h)
{
    bool fired = h->polled == w->poll;

    for (int i = 0; i < w->n_events && !fired; i++) {
        fired = w->events[i].gen == h->gen;
    }
    return fired;
}

/*
 * Nobody says whether a thread of others is at work: after some waits that fds,
 * or calls, have ended none is expected any more.
 */
static void tune_notify(struct aio_context *c, int64_t block_ns)
{
    bool fired = notify_is_notified(&c->core->notify) ||
                 (c->batch_head && work_of(c->batch_head)->ops->is_post);

    c->notify_missed = fired ? 0 : c->notify_missed + 1;
    if (c->notify_missed >= NOTIFY_MISSED_MAX) {
        c->notify_poll_ns = 0;
        return;
    }
    c->notify_poll_ns = tune_source(c, c->notify_poll_ns,
                                    block_ns > 0 ? block_ns : 1, fired);
}

void poll_phase_tune(struct aio_context *c, struct aio_wait *w)
{
    struct aio_core *core = c->core;
    int64_t block_ns, wake_ns = atomic_load_explicit(&core->notify.wake_ns,
                                                     memory_order_relaxed);

    w->arrived = aio_poll_progress(core);
    aio_absorb(c);
    /* Woken: the work arrived when the poster said so, not when we came to. */
    if (wake_ns < w->start_ns) {
        wake_ns = w->end_ns;
    }
    cpu_publish_lag(&core->cpus.owner_lag_ns, w->end_ns - wake_ns);
    if (w->end_ns > wake_ns) {
        c->sleep.wake_ns = poll_tuner_wake_ns(c->sleep.wake_ns,
                                              w->end_ns - wake_ns);
        atomic_store_explicit(&c->stats.wake_ns, (uint64_t)c->sleep.wake_ns,
                              memory_order_relaxed);
    }
    block_ns = wake_ns - w->start_ns;
    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        struct fd_handler *h = w->pollable[i];

        h->poll_ns = tune_source(c, h->poll_ns, block_ns, handler_fired(w, h));
    }
    if (poll_phase_for_notify(c)) {
        tune_notify(c, block_ns - c->sleep.wake_ns);
    }
    if (w->work && !cpu_pair_is_single(&core->cpus)) {
        tune_calls(c, poll_tuner_wait_ns(
                          block_ns,
                          atomic_load_explicit(&core->cpus.worker_lag_ns,
                                               memory_order_relaxed),
                          c->sleep.wake_ns));
    }
}
