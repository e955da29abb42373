/* SPDX-License-Identifier: MIT
 *
 * The workers' park in lock-step: the submitter pushes one request after a
 * random delay and waits for it, so that the push falls into the moment in
 * which the worker stops looking.  Prints at which request one was lost.
 *
 * Every few requests are a pair: the first call waits for the second, which
 * falls into the moment in which the first worker begins its call.
 */
#include "queue_pool.h"

/* The worker's window; shorter delays meet it polling, longer ones parked. */
#define WINDOW_NS 1500

static struct pool pool;

/* Busy-waits for the time: the delay must not depend on the machine's pause. */
static void delay_ns(int64_t ns)
{
    int64_t until_ns = clock_now_ns() + ns;

    while (clock_now_ns() < until_ns) {
        cpu_relax();
    }
}

/*
 * Most find the worker polling, which is quick; three of 16 fall around the
 * moment in which it parks, and some of these too late, which costs a wake.
 */
static void submit_delay(struct rng *r)
{
    uint32_t kind = rng_below(r, 128);

    if (kind < 24) {
        delay_ns(WINDOW_NS - 600 + rng_below(r, 1200));
    } else if (kind < 25) {
        delay_ns(rng_below(r, 8 * WINDOW_NS));
    } else {
        delay_ns(rng_below(r, WINDOW_NS / 4));
    }
}

static void wait_for(struct request *request, uint64_t op)
{
    for (uint32_t spins = 1;
         !atomic_load_explicit(&request->done, memory_order_acquire); spins++) {
        cpu_relax();
        if (spins % STRESS_SPINS == 0) {
            if (pool_has_lost(&pool)) {
                printf("queue_lockstep: lost at %llu\n",
                       (unsigned long long)op);
                exit(1);
            }
            sched_yield();
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t ops = count_arg(argc, argv, 20000), wakes;
    struct queue_stats stats;
    struct rng r;

    rng_init(&r, seed_arg(argc, argv));
    pool_init(&pool, WINDOW_NS, 0, 2, -1);
    pool.pin_workers = true;
    pin_to_cpu(0);
    for (uint64_t op = 1; op <= ops; op++) {
        struct request first = {.number = 1}, second = {.number = 2};

        cpu_publish(&pool.cpus.owner);
        submit_delay(&r);
        if (rng_below(&r, 64) == 0) {
            first.blocked_by = &second.done;
            pool_submit(&pool, &first);
            spin(rng_below(&r, 100));
            pool_submit(&pool, &second);
            wait_for(&second, op);
        } else {
            pool_submit(&pool, &first);
        }
        wait_for(&first, op);
    }
    request_queue_get_stats(&pool.queue, &stats);
    wakes = stats.wakeups;
    pool_end(&pool);
    printf("queue_lockstep: %llu requests, %llu wakes\n",
           (unsigned long long)ops, (unsigned long long)wakes);
    return 0;
}
