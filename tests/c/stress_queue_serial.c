/* SPDX-License-Identifier: MIT
 *
 * Calls that are run one after the other, or a few: while the owner changes its mind,
 * and where a call that waits for one behind it must not wait for ever.
 */
#include "queue_pool.h"

#include <string.h>

#define WORKERS  4
#define ROUNDS   200
#define REQUESTS 4000
/*
 * So many last, each until the next is taken beside it and longer: one worker is left.
 * Before the first of them the others take far longer than who is idle waits when a
 * request is queued: these have parked, and would be gone.
 */
#define LASTING       (WORKERS - 1)
#define FIRST_LASTING (REQUESTS / 2)
#define STREAM_NS     (20 * STANDBY_MAX_NS)

static struct pool pool;
static struct request requests[REQUESTS];
static atomic_bool ends;
static int64_t idle_timeout_ns;

static void begin(bool serial)
{
    memset(requests, 0, sizeof(requests));
    pool_init(&pool, 0, 0, WORKERS, idle_timeout_ns);
    cpu_pair_set_abreast(&pool.cpus, serial ? 1 : UINT32_MAX);
}

static void *change_often(void *arg)
{
    struct rng r;

    rng_init(&r, 7);
    while (!atomic_load_explicit(&ends, memory_order_relaxed)) {
        cpu_pair_set_abreast(&pool.cpus, 1 + rng_below(&r, WORKERS));
        for (uint32_t i = rng_below(&r, 1000); i; i--) {
            cpu_relax();
        }
    }
    return arg;
}

/* Nothing is left, and each worker ends. */
static void test_owner_changes_its_mind(void)
{
    for (int round = 0; round < ROUNDS / 10; round++) {
        pthread_t changer;
        struct rng r;

        rng_init(&r, (uint64_t)round);
        begin(true);
        atomic_store_explicit(&ends, false, memory_order_relaxed);
        changer = thread_start(change_often, NULL);
        for (int i = 0; i < REQUESTS; i++) {
            requests[i].number = (uint64_t)i;
            random_delay(&r);
            pool_submit(&pool, &requests[i]);
        }
        if (round % 2) {
            WAIT_UNTIL(pool.ran == REQUESTS);
        }
        assert(!pool_has_lost(&pool));
        pool_end(&pool); /* with some in the queue, or with none */
        atomic_store_explicit(&ends, true, memory_order_relaxed);
        thread_join(changer);
        assert(pool.ran == REQUESTS);
    }
}

/* Each waits for the one behind it: by computing, or asleep. */
static void test_calls_that_wait_for_each_other(bool sleeps)
{
    begin(true);
    for (int i = 0; i < ROUNDS; i += WORKERS) {
        for (int k = 0; k < WORKERS - 1; k++) {
            requests[i + k].blocked_by = &requests[i + k + 1].done;
            requests[i + k].sleeps = sleeps;
        }
        for (int k = 0; k < WORKERS; k++) {
            pool_submit(&pool, &requests[i + k]);
        }
        WAIT_UNTIL(
            atomic_load_explicit(&requests[i].done, memory_order_acquire));
    }
    pool_end(&pool);
    assert(pool.ran == ROUNDS);
}

/* Lock taken.  Who runs the newest call, which has begun. */
static struct queue_worker *runner(uint64_t pops)
{
    struct queue_worker *w;

    pthread_mutex_lock(&pool.queue.lock);
    w = pool.queue.pops == pops ? pool.queue.runner : NULL;
    pthread_mutex_unlock(&pool.queue.lock);
    return w;
}

/*
 * The next is taken beside one that sleeps as soon as that is seen by its clock, and not
 * only when it has lasted for as long as one that computes may.
 */
static void test_one_that_sleeps_holds_up_nobody(void)
{
    int soon = 0;

    for (int i = 0; i < ROUNDS; i++) {
        static atomic_bool gate;
        struct queue_worker *w;

        begin(true);
        atomic_store_explicit(&gate, false, memory_order_relaxed);
        for (int k = 0; k < 2; k++) {
            requests[k].blocked_by = &gate;
            requests[k].sleeps = true;
            pool_submit(&pool, &requests[k]);
            WAIT_UNTIL((w = runner((uint64_t)k + 1)));
            assert(clock_read_ns(w->cpu_clock) <=
                   cpu_time_of_process_ns(&pool.cpus.time));
        }
        pthread_mutex_lock(&pool.queue.lock);
        soon += w->seen_ns - w->since_ns < SERIAL_MAX_NS;
        pthread_mutex_unlock(&pool.queue.lock);
        atomic_store_explicit(&gate, true, memory_order_release);
        pool_end(&pool);
    }
    assert(soon);
}

/* Who looks costs more than short calls: ever less often, as where many run at once. */
static void test_looks_at_short_calls_become_rare(void)
{
    int64_t most_ns = 0;

    for (int i = 0; i < ROUNDS && most_ns < STANDBY_MAX_NS; i++) {
        static atomic_bool gate;
        int64_t end_ns = clock_now_ns() + SERIAL_MAX_NS;

        begin(true);
        pool.queue.call_ns = 0;
        atomic_store_explicit(&gate, false, memory_order_relaxed);
        requests[0].blocked_by = &gate;
        pool_submit(&pool, &requests[0]);
        pool_submit(&pool, &requests[1]);
        while (clock_now_ns() < end_ns) {
            struct queue_worker *w;

            pthread_mutex_lock(&pool.queue.lock);
            w = pool.queue.newest;
            most_ns = w && w->standby_ns > most_ns ? w->standby_ns : most_ns;
            pthread_mutex_unlock(&pool.queue.lock);
            sched_yield();
        }
        atomic_store_explicit(&gate, true, memory_order_release);
        pool_end(&pool);
    }
    assert(most_ns == STANDBY_MAX_NS);
}

static void take_a_while(struct request *request, uint64_t *state)
{
    int64_t end_ns = clock_now_ns() + STREAM_NS / (FIRST_LASTING - WORKERS - 1);

    (void)state;
    while (request > &requests[WORKERS] && request < &requests[FIRST_LASTING] &&
           clock_now_ns() < end_ns) {
        cpu_relax();
    }
}

/*
 * One looker is enough, however many there are.  After the shutdown there may be no way
 * to start a thread: who has parked is there for the rest, however late that is.
 */
static void test_others_park_beside_a_looker(bool shut)
{
    static atomic_bool gate;
    int looking = WORKERS;

    begin(false);
    pool.on_take = take_a_while;
    atomic_store_explicit(&gate, false, memory_order_relaxed);
    for (int i = 0; i < WORKERS + 1; i++) {
        requests[i].blocked_by = &gate;
        pool_submit(&pool, &requests[i]);
    }
    WAIT_UNTIL(!pool_has_lost(&pool) && pool.started == WORKERS);
    cpu_pair_set_abreast(&pool.cpus, 1);
    for (int i = WORKERS + 1; i < REQUESTS; i++) {
        bool lasts = i >= FIRST_LASTING && i < FIRST_LASTING + LASTING;

        requests[i].blocked_by = lasts ? &ends : NULL;
        pool_submit(&pool, &requests[i]);
    }
    if (shut) {
        request_queue_shutdown(&pool.queue);
    }
    atomic_store_explicit(&ends, false, memory_order_relaxed);
    atomic_store_explicit(&gate, true, memory_order_release);
    /* One computes, one looks; nobody else may for long. */
    WAIT_UNTIL((looking = (int)atomic_load(&pool.queue.lookers)) <= 1 &&
               pool.ran > WORKERS);
    /* Beside those that last the others are run all the same. */
    WAIT_UNTIL(pool.ran == REQUESTS - LASTING);
    atomic_store_explicit(&ends, true, memory_order_release);
    pool_end(&pool);
    assert(pool.ran == REQUESTS && looking <= 1);
    assert(!shut || pool.started == WORKERS);
}

int main(void)
{
    idle_timeout_ns = -1;
    test_owner_changes_its_mind();
    test_calls_that_wait_for_each_other(false);
    test_calls_that_wait_for_each_other(true);
    test_one_that_sleeps_holds_up_nobody();
    test_looks_at_short_calls_become_rare();
    for (int shut = 0; shut < 2; shut++) {
        test_others_park_beside_a_looker(shut);
        idle_timeout_ns = 0;
        test_calls_that_wait_for_each_other(true);
        test_others_park_beside_a_looker(shut);
    }
    printf("queue_serial: %d rounds\n", ROUNDS);
    return 0;
}
