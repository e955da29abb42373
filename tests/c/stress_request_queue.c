/* SPDX-License-Identifier: MIT
 *
 * Request queue with real workers: each request once, each submitter's in
 * order, cancelled or run but not both, limits and idle time-outs, shutdown.
 */
#include "queue_pool.h"

#define SUBMITTERS 3
#define WORKERS    4
#define REQUESTS   6000 /* of each submitter */
#define CHAIN      5

static struct pool pool;
static struct request requests[SUBMITTERS][REQUESTS];
static atomic_ullong cancelled;
static bool cancelling;

static void clear_requests(void)
{
    for (int i = 0; i < SUBMITTERS; i++) {
        for (int k = 0; k < REQUESTS; k++) {
            requests[i][k] = (struct request){.submitter = i,
                                              .number = (uint64_t)k};
        }
    }
    atomic_store_explicit(&cancelled, 0, memory_order_relaxed);
}

/* Takes are ordered by the lock: one worker's are a part of that order. */
static void check_order(struct request *request, uint64_t *state)
{
    assert(request->number + 1 > state[request->submitter]);
    state[request->submitter] = request->number + 1;
}

static void cancel_one(struct request *request)
{
    if (request_queue_cancel(&pool.queue, &request->work)) {
        assert(!request->ran);
        request->ran = 1; /* a worker that ran it too would find it so */
        assert(!request_queue_cancel(&pool.queue, &request->work));
        atomic_fetch_add_explicit(&cancelled, 1, memory_order_relaxed);
    }
}

static void *submit_all(void *arg)
{
    int me = (int)(intptr_t)arg;
    struct rng r;

    rng_init(&r, (uint64_t)me);
    for (int i = 0; i < REQUESTS;) {
        int n = 1 + (int)rng_below(&r, CHAIN), first = i;

        n = n > REQUESTS - i ? REQUESTS - i : n;
        assert(request_queue_reserve(&pool.queue, (uint32_t)n, UINT32_MAX));
        for (; i < first + n; i++) {
            requests[me][i].work.queued = true;
            requests[me][i].work.link.next =
                i > first ? &requests[me][i - 1].work.link : NULL;
        }
        pool_push(&pool, &requests[me][i - 1], &requests[me][first]);
        random_delay(&r);
        if (cancelling) {
            cancel_one(&requests[me][rng_below(&r, (uint32_t)i)]);
        }
    }
    return NULL;
}

static void run_all(uint32_t min_threads, uint32_t max_threads,
                    int64_t idle_timeout_ns, int64_t poll_max_ns,
                    int64_t call_ns)
{
    pthread_t threads[SUBMITTERS];
    struct queue_stats stats;

    clear_requests();
    pool_init(&pool, poll_max_ns, min_threads, max_threads, idle_timeout_ns);
    pool.on_take = check_order;
    pool.call_ns = call_ns;
    while (request_queue_grow(&pool.queue)) {
        pool_answer(&pool, QUEUE_SPAWN);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        threads[i] = thread_start(submit_all, (void *)(intptr_t)i);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        thread_join(threads[i]);
    }
    request_queue_get_stats(&pool.queue, &stats);
    assert(stats.threads <= max_threads);
    assert(stats.submitted == SUBMITTERS * REQUESTS);
    pool_end(&pool);
    for (int i = 0; i < SUBMITTERS; i++) {
        for (int k = 0; k < REQUESTS; k++) {
            assert(requests[i][k].ran && !requests[i][k].work.queued);
        }
    }
    assert(pool.ran + cancelled == SUBMITTERS * REQUESTS);
    assert(cancelling || cancelled == 0);
}

static uint32_t threads_now(void)
{
    struct queue_stats stats;

    request_queue_get_stats(&pool.queue, &stats);
    return stats.threads;
}

static void test_idle_timeout(void)
{
    clear_requests();
    pool_init(&pool, 0, 0, WORKERS, NS_PER_MS);
    for (int i = 0; i < 100; i++) {
        /* Often just when the last worker gives up waiting. */
        struct request *request = &requests[0][i];

        pool_submit(&pool, request);
        WAIT_UNTIL(atomic_load_explicit(&request->done, memory_order_acquire));
        if (i % 4 == 0) {
            WAIT_UNTIL(threads_now() == 0);
        } else {
            int64_t begin_ns = clock_now_ns();

            while (clock_now_ns() - begin_ns < NS_PER_MS + 1000 * (i - 50)) {
                sched_yield();
            }
        }
    }
    WAIT_UNTIL(threads_now() == 0);
    assert(pool.started >= 25);
    pool_answer(&pool, request_queue_set_limits(&pool.queue, 2, WORKERS));
    while (request_queue_grow(&pool.queue)) {
        pool_answer(&pool, QUEUE_SPAWN);
    }
    assert(threads_now() == 2);
    spin(100000);
    assert(threads_now() == 2); /* min_threads stay, however idle */
    pool_end(&pool);
}

/* Fewer threads leave at once; more start at once where calls are waiting. */
static void test_set_limits(void)
{
    static atomic_bool gate;

    clear_requests();
    atomic_init(&gate, false);
    pool_init(&pool, 20000, 0, 1, -1);
    for (int i = 0; i < WORKERS; i++) {
        requests[0][i].blocked_by = &gate;
        pool_submit(&pool, &requests[0][i]);
    }
    assert(threads_now() == 1);
    pool_answer(&pool, request_queue_set_limits(&pool.queue, 0, WORKERS));
    WAIT_UNTIL(threads_now() == WORKERS);
    atomic_store_explicit(&gate, true, memory_order_release);
    WAIT_UNTIL(pool.ran == WORKERS);
    pool_answer(&pool, request_queue_set_limits(&pool.queue, 0, 1));
    WAIT_UNTIL(threads_now() == 1);
    for (int i = WORKERS; i < 100; i++) {
        pool_submit(&pool, &requests[0][i]);
    }
    WAIT_UNTIL(pool.ran == 100);
    assert(threads_now() == 1);
    pool_end(&pool);
}

/* A call that waits for a later one is no obstacle: another worker runs it. */
static void test_blocked_calls(void)
{
    clear_requests();
    pool_init(&pool, 2000, 0, WORKERS, -1);
    for (int i = 0; i < 2000; i += WORKERS) {
        struct rng r;

        rng_init(&r, (uint64_t)i);
        for (int k = 0; k < WORKERS - 1; k++) {
            requests[0][i + k].blocked_by = &requests[0][i + k + 1].done;
        }
        for (int k = 0; k < WORKERS; k++) {
            random_delay(&r);
            pool_submit(&pool, &requests[0][i + k]);
        }
        WAIT_UNTIL(
            atomic_load_explicit(&requests[0][i].done, memory_order_acquire));
    }
    pool_end(&pool);
    assert(pool.ran == 2000);
}

/* What is queued at the shutdown is run; what comes later, by who is left. */
static void test_shutdown(void)
{
    clear_requests();
    pool_init(&pool, 0, 0, 2, -1);
    for (int i = 0; i < REQUESTS; i++) {
        pool_submit(&pool, &requests[0][i]);
    }
    request_queue_shutdown(&pool.queue);
    pool_submit(&pool, &requests[1][0]);
    pool_end(&pool);
    assert(pool.ran == REQUESTS + 1);
}

/* What is queued at the shutdown gets its workers: each call waits for a later. */
static void test_shutdown_with_calls_that_wait_for_each_other(void)
{
    for (int round = 0; round < 100; round++) {
        struct rng r;

        clear_requests();
        rng_init(&r, (uint64_t)round);
        pool_init(&pool, round % 2 ? 2000 : 0, 0, WORKERS, -1);
        for (int k = 0; k < WORKERS; k++) {
            if (k < WORKERS - 1) {
                requests[0][k].blocked_by = &requests[0][k + 1].done;
            }
            pool_submit(&pool, &requests[0][k]);
        }
        random_delay(&r);
        pool_end(&pool);
        assert(pool.ran == WORKERS);
        assert(pool.started <= WORKERS);
    }
}

static void test_reserve_and_cancel_oldest(void)
{
    uint32_t left;

    clear_requests();
    pool_init(&pool, 0, 0, 1, -1);
    assert(request_queue_reserve(&pool.queue, 2, 3));
    assert(!request_queue_reserve(&pool.queue, 2, 3));
    assert(!request_queue_reserve(&pool.queue, UINT32_MAX, UINT32_MAX - 1));
    for (int i = 0; i < 2; i++) {
        requests[0][i].work.queued = true;
        assert(request_queue_push(&pool.queue, &requests[0][i].work,
                                  &requests[0][i].work) ==
               (i ? QUEUE_SEEN : QUEUE_SPAWN));
    }
    assert(request_queue_cancel_oldest(&pool.queue, false) ==
           &requests[0][0].work);
    assert(request_queue_cancel(&pool.queue, &requests[0][1].work));
    assert(!request_queue_cancel_oldest(&pool.queue, false));
    assert(request_queue_spawn_failed(&pool.queue, &left) == QUEUE_SEEN);
    assert(left == 0);
    pool_end(&pool);
}

static bool in_a_call(void)
{
    struct queue_stats stats;

    request_queue_get_stats(&pool.queue, &stats);
    return stats.running == 1 && !queue_somebody_looks(&pool.queue);
}

static bool first_is_parked(void)
{
    bool parked;

    pthread_mutex_lock(&pool.queue.lock);
    parked = pool.queue.newest != NULL;
    pthread_mutex_unlock(&pool.queue.lock);
    return parked;
}

/* A thread was counted as a looker and fails to start: who relied on it? */
static void test_spawn_failed(void)
{
    static atomic_bool gate;
    struct request *a = &requests[0][0], *b = &requests[0][1],
                   *c = &requests[0][2];
    uint32_t left;

    clear_requests();
    pool_init(&pool, 0, 0, 2, -1);
    a->blocked_by = &gate;
    pool_submit(&pool, a);
    WAIT_UNTIL(in_a_call()); /* the first worker */
    assert(request_queue_reserve(&pool.queue, 1, UINT32_MAX));
    b->work.queued = true;
    assert(request_queue_push(&pool.queue, &b->work, &b->work) == QUEUE_SPAWN);
    /* While the second is being started the first runs b, and parks. */
    atomic_store_explicit(&gate, true, memory_order_release);
    WAIT_UNTIL(atomic_load_explicit(&b->done, memory_order_acquire));
    WAIT_UNTIL(first_is_parked());
    /* c counts on the second ... */
    pool_submit(&pool, c);
    assert(pool.started == 1);
    /* ... which does not come. */
    assert(request_queue_spawn_failed(&pool.queue, &left) == QUEUE_WOKEN);
    assert(left == 1);
    assert(!pool_has_lost(&pool));
    WAIT_UNTIL(atomic_load_explicit(&c->done, memory_order_acquire));
    pool_end(&pool);
}

static enum queue_need push_one(struct request *request)
{
    assert(request_queue_reserve(&pool.queue, 1, UINT32_MAX));
    request->work.queued = true;
    return request_queue_push(&pool.queue, &request->work, &request->work);
}

/* No thread can be had: whose request fails, and who gets another try? */
static void test_spawn_failed_and_nobody_is_left(void)
{
    struct request *a = &requests[0][0], *b = &requests[0][1],
                   *c = &requests[0][2];
    uint32_t left;

    clear_requests();
    pool_init(&pool, 0, 0, 2, -1);
    assert(push_one(a) == QUEUE_SPAWN);
    assert(!request_queue_cancel_deserted(&pool.queue)); /* one is coming */
    assert(push_one(b) == QUEUE_SEEN);                   /* relies on a's */
    assert(request_queue_spawn_failed(&pool.queue, &left) == QUEUE_SPAWN);
    assert(left == 0);
    assert(!request_queue_cancel_deserted(&pool.queue));
    /* Nothing has come since: both have had their try. */
    assert(request_queue_spawn_failed(&pool.queue, &left) == QUEUE_SEEN);
    assert(request_queue_cancel_deserted(&pool.queue) == &a->work);
    /* Pushed, and about to find that nobody looks: not deserted. */
    assert(request_queue_reserve(&pool.queue, 1, UINT32_MAX));
    c->work.queued = true;
    completion_list_push_chain(&pool.queue.incoming, &c->work.link,
                               &c->work.link);
    assert(request_queue_cancel_deserted(&pool.queue) == &b->work);
    assert(!request_queue_cancel_deserted(&pool.queue));
    assert(request_queue_cancel(&pool.queue, &c->work));
    /* One that has come and gone again is no reason for another try. */
    assert(push_one(a) == QUEUE_SPAWN);
    assert(push_one(b) == QUEUE_SEEN);
    assert(request_queue_cancel(&pool.queue, &b->work));
    assert(request_queue_spawn_failed(&pool.queue, &left) == QUEUE_SEEN);
    assert(request_queue_cancel_deserted(&pool.queue) == &a->work);
    pool_end(&pool);
}

/*
 * All of a wait was the owner's wake-up: had both polled, the request would have
 * come at once.  That must let polling begin, not pass for its sweet spot.
 */
static void test_polling_begins_after_a_wait_that_was_all_lag(void)
{
    struct queue_stats stats;

    clear_requests();
    /* Longer than any wait here, on the busiest machine. */
    pool_init(&pool, INT64_C(1) << 40, 0, 1, -1);
    atomic_store_explicit(&pool.cpus.owner_lag_ns, INT64_MAX / 2,
                          memory_order_relaxed);
    for (int i = 0; i < 2; i++) { /* the first one starts the worker */
        pool_submit(&pool, &requests[0][i]);
        WAIT_UNTIL(
            atomic_load_explicit(&requests[0][i].done, memory_order_acquire));
        WAIT_UNTIL(i == 1 || first_is_parked());
    }
    request_queue_get_stats(&pool.queue, &stats);
    /* On one CPU nobody polls. */
    assert(stats.poll_ns == (cpu_usable() > 1 ? POLL_GROW_START_NS : 0));
    pool_end(&pool);
}

/*
 * Who has woken the owner polls until that is awake, however long it takes on this machine:
 * if it parked, it would have to be woken itself, then the owner again, and so on.  But not
 * for ever.
 */
static void test_worker_waits_for_the_owner_as_long_as_that_takes_to_wake(void)
{
    static const struct {
        int64_t lag_ns, least_ns;
    } cases[] = {
        {0, 100000},
        {200000, 400000},
        {INT64_MAX / 2, NS_PER_MS},
    };
    struct queue_stats stats;
    uint64_t polled_ns = 0;

    clear_requests();
    pool_init(&pool, POLL_MAX_NS_DEFAULT, 0, 1, -1);
    pool.queue.poll.poll_ns = 1; /* which counts only once it is awake */
    atomic_store_explicit(&pool.cpus.owner_waits, 1, memory_order_relaxed);
    for (int i = 0; i < 3; i++) {
        atomic_store_explicit(&pool.cpus.owner_lag_ns, cases[i].lag_ns,
                              memory_order_relaxed);
        pool_submit(&pool, &requests[0][i]);
        WAIT_UNTIL(
            atomic_load_explicit(&requests[0][i].done, memory_order_acquire));
        WAIT_UNTIL(first_is_parked());
        request_queue_get_stats(&pool.queue, &stats);
        if (cpu_usable() > 1) { /* on one CPU nobody polls */
            assert((int64_t)(stats.polled_ns - polled_ns) >= cases[i].least_ns);
        }
        polled_ns = stats.polled_ns;
    }
    pool_end(&pool);
}

int main(void)
{
    unsigned long long n;

    run_all(1, 1, -1, 0, 0);
    run_all(0, WORKERS, -1, 0, 2 * SHORT_CALL_NS);
    run_all(2, WORKERS, -1, 32768, 0); /* short: the others stand by */
    run_all(0, WORKERS, 20000, 2000, 2 * SHORT_CALL_NS);
    cancelling = true;
    run_all(1, WORKERS, -1, 2000, 2 * SHORT_CALL_NS);
    n = cancelled;
    assert(n > 0);
    test_idle_timeout();
    test_set_limits();
    test_blocked_calls();
    test_shutdown();
    test_shutdown_with_calls_that_wait_for_each_other();
    test_reserve_and_cancel_oldest();
    test_spawn_failed();
    test_spawn_failed_and_nobody_is_left();
    test_polling_begins_after_a_wait_that_was_all_lag();
    test_worker_waits_for_the_owner_as_long_as_that_takes_to_wake();
    printf("request_queue: %d requests, %llu cancelled\n",
           5 * SUBMITTERS * REQUESTS, n);
    return 0;
}
