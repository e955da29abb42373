/* SPDX-License-Identifier: MIT
 *
 * See queue_poll.h.
 */
#include "queue/queue_poll.h"

/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16
/* For so long at least a poll phase waits for the owner to wake. */
#define WAKES_MIN_NS 100000

/* Until it is taken not to come. */
static int64_t wakes_ns(struct request_queue *q)
{
    int64_t lag_ns = atomic_load_explicit(&q->cpus->owner_lag_ns,
                                          memory_order_relaxed);
    int64_t ns = poll_tuner_awake_ns(lag_ns, POLL_AWAKE_MAX_NS);

    return ns > WAKES_MIN_NS ? ns : WAKES_MIN_NS;
}

/*
 * Worker, no lock.  Busy-waits until a request is there; false: it is not.
 *
 * The window counts from when the owner is back from its wait.  If it blocked,
 * the wake-up that the worker has just sent it takes longer than the window;
 * a worker that parked meanwhile would have to be woken itself, then the owner
 * again, and neither would ever find the other polling.
 */
static bool poll_phase(struct request_queue *q, int64_t begin_ns,
                       int64_t poll_ns)
{
    int64_t now_ns, deadline_ns = begin_ns + wakes_ns(q);
    bool back = false;

    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            /* Another's splice may have moved it on. */
            if (completion_list_peek(&q->incoming) ||
                atomic_load_explicit(&q->backlog, memory_order_relaxed)) {
                return true;
            }
            cpu_relax();
        }
        if (atomic_load_explicit(&q->interrupt, memory_order_relaxed) ||
            cpu_pair_is_shared(q->cpus)) {
            return false;
        }
        now_ns = clock_now_ns();
        if (!back && !atomic_load_explicit(&q->cpus->owner_waits,
                                           memory_order_relaxed)) {
            back = true;
            deadline_ns = deadline_after_ns(now_ns, poll_ns);
        }
        if (!back) {
            cpu_pair_yield(q->cpus); /* it may have been woken on this CPU */
        }
    } while (now_ns < deadline_ns || deadline_ns < 0);
    return false;
}

bool queue_poll(struct request_queue *q, struct queue_worker *w)
{
    int64_t poll_ns, begin_ns = w->wait_ns;
    bool hit;

    if (q->polling || q->sentry != w || w->polled) {
        return false;
    }
    w->polled = true; /* once for each wait */
    if (cpu_pair_is_single(q->cpus)) {
        q->stats.polls_refused += q->params.max_ns > 0;
        return false;
    }
    poll_ns = poll_window_next_ns(&q->poll, &q->params, q->wake_ns);
    if (!poll_ns || cpu_pair_blocks(q->cpus) ||
        w->run_ns / POLL_PAYS_BOUNDS > q->params.max_ns ||
        poll_window_is_to_measure(&q->params, q->polled_ns, &q->unmeasured)) {
        q->stats.polls_skipped += q->params.max_ns > 0;
        return false;
    }
    cpu_publish(&q->cpus->worker);
    if (cpu_pair_is_shared(q->cpus)) {
        q->stats.polls_refused++;
        return false;
    }
    q->polling = true;
    pthread_mutex_unlock(&q->lock);
    hit = poll_phase(q, begin_ns, poll_ns);
    w->poll_end_ns = clock_now_ns();
    pthread_mutex_lock(&q->lock);
    q->polling = q->stale = false;
    queue_update_interrupt(q);
    q->polled_ns = w->poll_end_ns - begin_ns;
    q->stats.polled_ns += (uint64_t)q->polled_ns;
    q->stats.missed_ns += hit ? 0 : (uint64_t)q->polled_ns;
    q->stats.polls_hit += hit;
    q->stats.polls_missed += !hit;
    return true;
}

void queue_poll_learn(struct request_queue *q, struct queue_worker *w)
{
    int64_t begin_ns = w->wait_ns;
    int64_t wake_ns = atomic_load_explicit(&w->wake_ns, memory_order_relaxed);
    int64_t lag_ns = 0, wait_ns;

    if (wake_ns >= begin_ns) {
        lag_ns = clock_now_ns() - wake_ns;
        q->wake_ns = poll_tuner_wake_ns(q->wake_ns, lag_ns);
        q->unmeasured = 0;
    } else { /* it was not woken, it polled */
        wake_ns = w->poll_end_ns > begin_ns ? w->poll_end_ns : begin_ns;
    }
    cpu_publish_lag(&q->cpus->worker_lag_ns, lag_ns);
    wait_ns = poll_tuner_wait_ns(
        wake_ns - begin_ns,
        atomic_load_explicit(&q->cpus->owner_lag_ns, memory_order_relaxed),
        q->wake_ns);
    if (q->params.max_ns > 0 && q->sentry == w &&
        !cpu_pair_is_single(q->cpus)) {
        poll_window_tune(&q->poll, &q->params, wait_ns);
    }
}
