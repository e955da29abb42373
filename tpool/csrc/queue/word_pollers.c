/* SPDX-License-Identifier: MIT
 *
 * See word_pollers.h.
 */
#include "queue/word_pollers.h"
#include "base/cpu.h"
#include <pthread.h>

/* Between two looks at how many CPUs are usable, which take 20 us. */
#define CPUS_LOOK_NS NS_PER_SECOND

void word_pollers_init(struct word_pollers *p)
{
    atomic_init(&p->polling, 0);
    atomic_init(&p->most, 0);
    atomic_init(&p->looked_ns, INT64_MIN / 2);
    atomic_init(&p->crowded_ns, 0);
    atomic_init(&p->waiter, 0);
    atomic_init(&p->waiter_lag_ns, 0);
    atomic_init(&p->asked, false);
}

bool word_pollers_take(struct word_pollers *p, int64_t now_ns)
{
    uint32_t n = atomic_load_explicit(&p->polling, memory_order_relaxed);

    if (now_ns - atomic_load_explicit(&p->looked_ns, memory_order_relaxed) >
        CPUS_LOOK_NS) {
        atomic_store_explicit(&p->looked_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&p->most, (uint32_t)cpu_usable() - 1,
                              memory_order_relaxed);
    }
    if (now_ns < atomic_load_explicit(&p->crowded_ns, memory_order_relaxed)) {
        return false;
    }
    do {
        if (n >= atomic_load_explicit(&p->most, memory_order_relaxed)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &p->polling, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
    return true;
}

void word_pollers_give(struct word_pollers *p)
{
    atomic_fetch_sub_explicit(&p->polling, 1, memory_order_relaxed);
}

void word_pollers_set_lag(struct word_pollers *p, int64_t lag_ns)
{
    uintptr_t me = (uintptr_t)pthread_self();

    lag_ns = lag_ns > 0 ? lag_ns : 1;
    /*
     * Written only where it changes: others read the line.  Who sees the one without
     * the other learns a little less.
     */
    if (atomic_load_explicit(&p->waiter_lag_ns, memory_order_relaxed) !=
        lag_ns) {
        atomic_store_explicit(&p->waiter_lag_ns, lag_ns, memory_order_relaxed);
    }
    if (atomic_load_explicit(&p->waiter, memory_order_relaxed) != me) {
        atomic_store_explicit(&p->waiter, me, memory_order_relaxed);
    }
}

int64_t word_pollers_take_lag(struct word_pollers *p)
{
    uintptr_t me = (uintptr_t)pthread_self();

    if (!word_pollers_ask(p)) {
        atomic_store_explicit(&p->asked, true, memory_order_relaxed);
    }
    if (atomic_load_explicit(&p->waiter, memory_order_relaxed) != me) {
        return 0;
    }
    atomic_store_explicit(&p->waiter, 0, memory_order_relaxed);
    return atomic_load_explicit(&p->waiter_lag_ns, memory_order_relaxed);
}
