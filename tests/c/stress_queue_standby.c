/* SPDX-License-Identifier: MIT
 *
 * Who stands by, and who is woken first, where a helper's time is never over by
 * itself: whatever it does here it was told to.
 */
#include "queue_pool.h"

#undef STANDBY_NS
#undef STANDBY_MAX_NS
#undef FULL_STANDBY_NS
#define STANDBY_NS      (3600 * 1000 * NS_PER_MS)
#define STANDBY_MAX_NS  STANDBY_NS
#define FULL_STANDBY_NS STANDBY_NS
#include "queue/queue_worker.c"

#define ROUNDS 200

static struct pool pool;
static struct request requests[4];
static atomic_bool gate;

static bool is_done(int number)
{
    return atomic_load_explicit(&requests[number].done, memory_order_acquire);
}

/* How many are on the stack; of these, how many are lookers still. */
static int parked(int *looking)
{
    int n = 0;

    *looking = 0;
    pthread_mutex_lock(&pool.queue.lock);
    for (struct queue_worker *w = pool.queue.newest; w; w = w->older) {
        assert(w->parked && (!w->older || w->older->newer == w));
        n++;
        *looking += w->looking;
    }
    pthread_mutex_unlock(&pool.queue.lock);
    return n;
}

static bool helper_stands_by(void)
{
    int looking;

    return parked(&looking) == 1 && looking == 1;
}

static bool all_are_parked(void)
{
    int looking;

    return parked(&looking) == 2 && looking == 0;
}

static bool last_that_worked_is_newest(void)
{
    bool is_newest;

    pthread_mutex_lock(&pool.queue.lock);
    is_newest = pool.queue.sentry && pool.queue.newest == pool.queue.sentry;
    pthread_mutex_unlock(&pool.queue.lock);
    return is_newest;
}

/* The first call is running, the second is queued, and a helper stands by. */
static void begin(void)
{
    memset(requests, 0, sizeof(requests));
    atomic_store_explicit(&gate, false, memory_order_relaxed);
    pool_init(&pool, 0, 0, 2, -1);
    pool.call_ns = 0;
    pool.queue.call_ns =
        0; /* short: nobody takes what another will have soon */
    requests[0].blocked_by = &gate;
    for (int i = 0; i < 2; i++) {
        pool_submit(&pool, &requests[i]);
        WAIT_UNTIL(i == 1 || !queue_somebody_looks(&pool.queue));
    }
    WAIT_UNTIL(helper_stands_by());
}

static void test_helper_is_dismissed_when_nothing_is_queued(void)
{
    begin();
    atomic_store_explicit(&gate, true, memory_order_release);
    WAIT_UNTIL(is_done(1)); /* by who ran the first: the helper sleeps */
    WAIT_UNTIL(all_are_parked());
    assert(last_that_worked_is_newest());
    pool_submit(&pool, &requests[2]);
    WAIT_UNTIL(is_done(2));
    pool_end(&pool);
}

/* All are woken, and park in any order. */
static void test_last_that_worked_is_woken_first(void)
{
    begin();
    atomic_store_explicit(&gate, true, memory_order_release);
    for (int i = 0; i < ROUNDS; i++) {
        WAIT_UNTIL(all_are_parked());
        assert(last_that_worked_is_newest());
        assert(request_queue_set_limits(&pool.queue, 0, 2) == QUEUE_SEEN);
    }
    pool_end(&pool);
}

/* Not when its time is over: the submitter waits for it. */
static void test_helper_is_called_at_once(void)
{
    begin();
    assert(request_queue_find_another(&pool.queue) == QUEUE_WOKEN);
    WAIT_UNTIL(is_done(1));
    assert(!is_done(0));
    atomic_store_explicit(&gate, true, memory_order_release);
    pool_end(&pool);
}

/* Who is not the last that worked, parked or standing by: nobody else writes it then. */
static struct queue_worker *helper(void)
{
    struct queue_worker *w = pool.queue.newest;

    return w == pool.queue.sentry ? w->older : w;
}

/* Work flows past it, and the next push would wake it again. */
static void test_helper_woken_for_nothing_stands_by(void)
{
    uint64_t wakeups;
    int64_t begin_ns;

    begin();
    atomic_store_explicit(&gate, true, memory_order_release);
    WAIT_UNTIL(all_are_parked());
    /* The helper parks as one that found nothing; what it saw was long ago. */
    request_queue_set_limits(&pool.queue, 0, 2);
    WAIT_UNTIL(all_are_parked());
    helper()->seen_runner = helper();
    helper()->since_ns = 0;
    for (int i = 0; i < FLOW_CALLS; i++) {
        WAIT_UNTIL(all_are_parked());
        memset(&requests[2], 0, sizeof(requests[2]));
        pool_submit(&pool, &requests[2]);
        WAIT_UNTIL(is_done(2));
    }
    WAIT_UNTIL(all_are_parked());
    atomic_store_explicit(&gate, false, memory_order_relaxed);
    requests[3].blocked_by = &gate;
    pool_submit(&pool, &requests[3]);
    WAIT_UNTIL(!queue_somebody_looks(&pool.queue));
    begin_ns = clock_now_ns();
    assert(request_queue_set_limits(&pool.queue, 0, 2) == QUEUE_SEEN);
    WAIT_UNTIL(helper_stands_by());
    assert(!helper()->seen_runner && helper()->since_ns >= begin_ns);
    wakeups = pool.queue.stats.wakeups;
    memset(&requests[2], 0, sizeof(requests[2]));
    pool_submit(&pool, &requests[2]);
    assert(pool.queue.stats.wakeups == wakeups && !is_done(2));
    atomic_store_explicit(&gate, true, memory_order_release);
    WAIT_UNTIL(is_done(2));
    pool_end(&pool);
}

static void test_shutdown_wakes_a_helper(void)
{
    begin();
    request_queue_shutdown(&pool.queue);
    atomic_store_explicit(&gate, true, memory_order_release);
    pool_end(&pool);
    assert(pool.ran == 2);
}

static bool others_are_parked(void)
{
    int looking;

    return parked(&looking) == 2 && looking == 1;
}

/*
 * Of two that find what is queued none of theirs.  No idle time is allowed for: the
 * other may be needed as soon as the first has taken it.
 */
static void test_one_stands_by_and_others_park(bool shut)
{
    static atomic_bool gates[3];

    memset(requests, 0, sizeof(requests));
    pool_init(&pool, 0, 0, 3, 0);
    for (int i = 0; i < 3; i++) {
        atomic_store_explicit(&gates[i], false, memory_order_relaxed);
        requests[i].blocked_by = &gates[i];
        pool_submit(&pool, &requests[i]);
        WAIT_UNTIL(!queue_somebody_looks(&pool.queue));
    }
    cpu_pair_set_abreast(&pool.cpus, 1);
    pool_submit(&pool, &requests[3]);
    if (shut) {
        request_queue_shutdown(&pool.queue);
    }
    atomic_store_explicit(&gates[0], true, memory_order_release);
    WAIT_UNTIL(helper_stands_by());
    atomic_store_explicit(&gates[1], true, memory_order_release);
    WAIT_UNTIL(others_are_parked());
    nanosleep(&(struct timespec){.tv_nsec = 2 * NS_PER_MS}, NULL);
    assert(others_are_parked() && !is_done(3)); /* and they stay */
    atomic_store_explicit(&gates[2], true, memory_order_release);
    if (shut) { /* each that leaves tells the next */
        WAIT_UNTIL(!atomic_load_explicit(&pool.live, memory_order_acquire));
    }
    pool_end(&pool);
    assert(pool.ran == 4 && pool.started == 3);
}

static void test_a_few_run_at_once(void)
{
    static atomic_bool gates[2];

    memset(requests, 0, sizeof(requests));
    pool_init(&pool, 0, 0, 3, 0);
    cpu_pair_set_abreast(&pool.cpus, 2);
    for (int i = 0; i < 4; i++) {
        if (i < 2) {
            atomic_store_explicit(&gates[i], false, memory_order_relaxed);
            requests[i].blocked_by = &gates[i];
        }
        pool_submit(&pool, &requests[i]);
    }
    WAIT_UNTIL(helper_stands_by());
    assert(!is_done(2));
    atomic_store_explicit(&gates[0], true, memory_order_release);
    WAIT_UNTIL(is_done(2) && is_done(3)); /* by who has ended the first */
    assert(!is_done(1));
    atomic_store_explicit(&gates[1], true, memory_order_release);
    pool_end(&pool);
    assert(pool.ran == 4 && pool.started == 3);
}

int main(void)
{
    test_helper_is_dismissed_when_nothing_is_queued();
    test_last_that_worked_is_woken_first();
    test_helper_is_called_at_once();
    test_helper_woken_for_nothing_stands_by();
    test_shutdown_wakes_a_helper();
    test_one_stands_by_and_others_park(false);
    test_one_stands_by_and_others_park(true);
    test_a_few_run_at_once();
    printf("queue_standby: %d rounds\n", ROUNDS);
    return 0;
}
