/* SPDX-License-Identifier: MIT
 *
 * Call table: places of callables, single-threaded; then threads that submit
 * calls of many callables while the owner plans, tunes and takes them.
 */
#include "stress.h"
#include "aio/call_table.h"
#include "tune/batch.h"

#define SUBMITTERS 4
#define KEYS       80

static const struct poll_params params = {.max_ns = 32768, .hybrid = true};

static void test_places(void)
{
    static struct call_table t;
    struct call_place *a, *b, *shared[KEYS];
    unsigned busy = 0;

    call_table_init(&t);
    a = call_table_place(&t, 0x1000);
    assert(call_table_place(&t, 0x1000) == a);
    b = call_table_place(&t, 0x2000);
    assert(a != b);
    /* One that is in use stays, wherever the others go. */
    call_table_submitted(&t, a, 1, 100);
    for (uintptr_t key = 1; key <= KEYS; key++) {
        shared[key - 1] = call_table_place(&t, key);
        call_table_submitted(&t, shared[key - 1], 1, 100);
    }
    assert(call_table_place(&t, 0x1000) == a);
    assert(atomic_load(&a->key) == 0x1000);
    for (int i = 0; i < CALL_PLACES; i++) {
        busy += atomic_load(&t.places[i].in_flight);
    }
    assert(busy == KEYS + 1);
    for (int i = 0; i < KEYS; i++) {
        call_place_done(shared[i], -1, 0);
    }
    call_place_forget(a);
    /* Now it is anybody's, and nothing is known of who comes. */
    for (uintptr_t key = 1; atomic_load(&a->key) == 0x1000; key++) {
        call_table_place(&t, key << 20);
    }
}

/* A slow call does not end the polling for a fast one. */
static void test_fast_beside_slow(void)
{
    static struct call_table t;
    struct sleep_costs costs;
    struct call_place *fast, *slow;
    struct wait_plan plan;

    sleep_costs_init(&costs);
    call_table_init(&t);
    fast = call_table_place(&t, 0x1000);
    slow = call_table_place(&t, 0x2000);
    for (int i = 0; i < 20; i++) {
        call_table_submitted(&t, slow, 1, 0);
        plan = call_table_plan(&t, &params, &costs, 1, 0, 0, false);
        assert(i < 8 || plan.window_ns == 0);
        call_table_tune(&t, &params, slow, 5000000);
        call_place_done(slow, 5000000, 0);
    }
    call_table_submitted(&t, slow, 1, 0);
    for (int i = 0; i < 20; i++) {
        call_table_submitted(&t, fast, 1, 0);
        plan = call_table_plan(&t, &params, &costs, 2, 0, 0, false);
        call_table_tune(&t, &params, fast, 10000);
        call_place_done(fast, 10000, 0);
    }
    assert(plan.choice == WAIT_POLL && plan.window_ns == params.max_ns);
    /* What is left is the slow one. */
    assert(call_table_plan(&t, &params, &costs, 1, 0, 0, false).choice ==
           WAIT_BLOCK);
    /* Nothing is known of a place that another callable has taken. */
    call_table_reset(&t);
    assert(call_table_plan(&t, &params, &costs, 1, 0, 0, false).window_ns == 0);
}

/* How long a worker keeps the GIL, and that the owner sleeps through it. */
static void test_batch(void)
{
    static struct call_table t;
    struct sleep_costs costs;
    struct call_place *p;
    struct wait_plan plan;

    assert(batch_left_ns(2, 30000, 170000) == 60000);
    assert(batch_left_ns(64, 60000, 140000) == 180000);
    assert(batch_left_ns(64, 100000, 100000) == 100000);
    assert(batch_left_ns(64, 0, 200000) == 0);
    /* Half of what is queued, 1 ms at most when the last of it ends. */
    assert(batch_begin_ns(0, 30000) == 200000);
    assert(batch_begin_ns(8, 30000) == 200000);
    assert(batch_begin_ns(64, 30000) == 930000);
    assert(batch_begin_ns(64, 300000) == 700000);
    assert(batch_begin_ns(64, 900000) == 200000);
    assert(batch_begin_ns(UINT64_MAX, 0) == 200000);
    assert(batch_begin_ns(UINT64_MAX, INT64_MAX / 2) == 200000);
    /* All of them, as many as are begun in time, or one that is long. */
    assert(batch_whole_ns(2, 60000) == 120000);
    assert(batch_whole_ns(8, 60000) == 240000);
    assert(batch_whole_ns(65, 30000) == 930000);
    assert(batch_whole_ns(8, 300000) == 900000);
    assert(batch_whole_ns(8, 600000) == 600000);
    assert(batch_whole_ns(1, 300000) == 300000);
    assert(batch_whole_ns(8, 0) == 0);
    sleep_costs_init(&costs);
    call_table_init(&t);
    p = call_table_place(&t, 0x1000);
    call_table_submitted(&t, p, 8, 0);
    plan = call_table_plan(&t, &params, &costs, 8, 0, 0, true);
    assert(plan.choice == WAIT_BLOCK); /* nothing is known of them */
    for (int i = 0; i < 20; i++) {
        call_table_submitted(&t, p, 1, 0);
        call_table_tune(&t, &params, p, 300000);
        call_place_done(p, 300000, 60000);
    }
    plan = call_table_plan(&t, &params, &costs, 8, 0, 0, true);
    assert(plan.choice == WAIT_NAP && plan.batch);
    assert(plan.window_ns == params.max_ns);
    assert(plan.nap_ns < 240000 - costs.late.mean_ns && plan.nap_ns > 190000);
    /* Not where others run beside them, other calls are in flight, or it would last. */
    plan = call_table_plan(&t, &params, &costs, 8, 0, 0, false);
    assert(plan.choice != WAIT_NAP);
    plan = call_table_plan(&t, &params, &costs, 9, 0, 0, true);
    assert(plan.choice != WAIT_NAP);
    for (int i = 0; i < 200; i++) {
        call_table_submitted(&t, p, 1, 0);
        call_place_done(p, 300000, 20 * NS_PER_MS);
    }
    plan = call_table_plan(&t, &params, &costs, 8, 0, 0, true);
    assert(plan.choice != WAIT_NAP);
}

static struct call_table table;
static _Atomic(struct call_place *) handed[SUBMITTERS];
static uint64_t rounds;

static void *submit(void *arg)
{
    _Atomic(struct call_place *) *slot = arg;
    struct rng r;

    rng_init(&r, (uint64_t)(slot - handed));
    for (uint64_t i = 0; i < rounds; i++) {
        struct call_place *p = call_table_place(&table,
                                                1 + rng_below(&r, KEYS));

        call_table_submitted(&table, p, 1, (int64_t)i);
        random_delay(&r);
        atomic_store_explicit(slot, p, memory_order_release);
        WAIT_UNTIL(!atomic_load_explicit(slot, memory_order_acquire));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[SUBMITTERS];
    struct sleep_costs costs;
    struct rng r;

    test_places();
    test_fast_beside_slow();
    test_batch();
    rounds = count_arg(argc, argv, 20000);
    call_table_init(&table);
    sleep_costs_init(&costs);
    rng_init(&r, 99);
    for (int i = 0; i < SUBMITTERS; i++) {
        threads[i] = thread_start(submit, &handed[i]);
    }
    for (uint64_t taken = 0; taken < rounds * SUBMITTERS;) {
        uint32_t k = rng_below(&r, SUBMITTERS);
        struct call_place *p = atomic_load_explicit(&handed[k],
                                                    memory_order_acquire);
        struct wait_plan plan = call_table_plan(&table, &params, &costs,
                                                1 + rng_below(&r, 3), 0, 1000,
                                                rng_below(&r, 2));

        assert(plan.window_ns >= 0 && plan.window_ns <= params.max_ns);
        call_table_tune(&table, &params, p, rng_below(&r, 60000));
        if (p) {
            call_place_done(p, rng_below(&r, 60000), rng_below(&r, 60000));
            atomic_store_explicit(&handed[k], NULL, memory_order_release);
            taken++;
        } else {
            sched_yield();
        }
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        thread_join(threads[i]);
    }
    for (int i = 0; i < CALL_PLACES; i++) {
        assert(atomic_load(&table.places[i].in_flight) == 0);
    }
    printf("call_table: %llu calls\n", (unsigned long long)rounds * SUBMITTERS);
    return 0;
}
