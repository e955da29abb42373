/* SPDX-License-Identifier: MIT
 *
 * Parker: two threads wake each other in lock-step; a time-out is never early,
 * a wake-up before the wait is not lost, two before it are one.
 */
#include "stress.h"
#include "base/parker.h"

#include <signal.h>
#include <string.h>

static struct parker ping, pong;
static uint64_t rounds = 20000;
static uint64_t payload; /* plain: the parker publishes it */

static void *answer(void *arg)
{
    struct rng r;

    rng_init(&r, 7);
    for (uint64_t i = 1; i <= rounds; i++) {
        assert(parker_wait(&ping, STRESS_DEADLINE_NS));
        assert(payload == 2 * i - 1);
        payload++;
        random_delay(&r);
        parker_wake(&pong);
    }
    return arg;
}

static void on_signal(int number)
{
    (void)number;
}

static void test_one_thread(void)
{
    int64_t begin_ns;

    parker_wake(&ping);
    parker_wake(&ping);
    assert(parker_wait(&ping, -1));
    assert(!parker_wait(&ping, 0));
    for (int64_t ns = 1; ns < 4 * NS_PER_MS; ns = 3 * ns + 1) {
        begin_ns = clock_now_ns();
        assert(!parker_wait(&ping, ns));
        assert(clock_now_ns() - begin_ns >= ns);
    }
}

static void *wait_long(void *arg)
{
    int64_t begin_ns = clock_now_ns();

    assert(!parker_wait(&ping, 20 * NS_PER_MS));
    assert(clock_now_ns() - begin_ns >= 20 * NS_PER_MS);
    atomic_store_explicit((atomic_bool *)arg, true, memory_order_release);
    return NULL;
}

/* A signal neither wakes it nor shortens the time-out. */
static void test_signals(void)
{
    struct sigaction action;
    atomic_bool done;
    pthread_t thread;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    atomic_init(&done, false);
    thread = thread_start(wait_long, &done);
    while (!atomic_load_explicit(&done, memory_order_acquire)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    thread_join(thread);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct rng r;

    rounds = count_arg(argc, argv, rounds);
    rng_init(&r, 8);
    parker_init(&ping);
    parker_init(&pong);
    test_one_thread();
    test_signals();
    thread = thread_start(answer, NULL);
    for (uint64_t i = 1; i <= rounds; i++) {
        random_delay(&r);
        payload++;
        parker_wake(&ping);
        if (rng_below(&r, 4)) {
            assert(parker_wait(&pong, STRESS_DEADLINE_NS));
        } else {
            /* Time-outs that race with the wake-up. */
            while (!parker_wait(&pong, rng_below(&r, 2000))) {
            }
        }
        assert(payload == 2 * i);
    }
    thread_join(thread);
    parker_cleanup(&ping);
    parker_cleanup(&pong);
    printf("parker: %llu round trips\n", (unsigned long long)rounds);
    return 0;
}
