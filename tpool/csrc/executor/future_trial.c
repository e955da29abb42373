/* SPDX-License-Identifier: MIT
 *
 * See future_trial.h.
 */
#include "executor/future_trial.h"

/* Acquire and release: what one has measured the next goes on with. */
static bool begin(struct pool_core *pool)
{
    return !atomic_load_explicit(&pool->judging, memory_order_relaxed) &&
           !atomic_exchange_explicit(&pool->judging, true,
                                     memory_order_acquire);
}

void future_trial_feed(struct pool_core *pool, bool waited)
{
    int64_t now_ns, polled_ns = TRIAL_BY_WORKER;

    if (!pool->waits.tuning.params.max_ns ||
        cpu_pair_is_single(&pool->core->cpus) || !begin(pool)) {
        return;
    }
    now_ns = clock_now_ns();
    if (waited) {
        polled_ns = (int64_t)counter_get(&pool->waits.polled_ns);
    }
    call_trial_look_back(&pool->trial, now_ns, polled_ns);
    call_trial_judge(&pool->trial, now_ns, polled_ns);
    atomic_store_explicit(&pool->judging, false, memory_order_release);
}
