/* SPDX-License-Identifier: MIT
 *
 * Event notifier: readable from set() until test_and_clear(), however often and
 * from however many threads it is set.  Built with and without an eventfd.
 */
#include "stress.h"
#include "base/event_notifier.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define SETTERS 3

static struct event_notifier notifier;
static atomic_int running;
static uint64_t rounds = 20000;

static bool readable(struct event_notifier *e)
{
    struct pollfd fd = {.fd = e->rfd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void *set_often(void *arg)
{
    struct rng r;

    rng_init(&r, (uint64_t)(uintptr_t)arg);
    for (uint64_t i = 0; i < rounds; i++) {
        assert(event_notifier_set(&notifier) == 0);
        random_delay(&r);
    }
    atomic_fetch_sub_explicit(&running, 1, memory_order_release);
    return NULL;
}

static void test_one_thread(void)
{
    struct event_notifier e;

    assert(event_notifier_init(&e, false) == 0);
    assert(!readable(&e) && !event_notifier_test_and_clear(&e));
    assert(event_notifier_set(&e) == 0 && event_notifier_set(&e) == 0);
    assert(readable(&e) && event_notifier_test_and_clear(&e));
    assert(!readable(&e) && !event_notifier_test_and_clear(&e));
    assert(fcntl(e.rfd, F_GETFD) & FD_CLOEXEC);
    assert(fcntl(e.wfd, F_GETFL) & O_NONBLOCK);
    event_notifier_cleanup(&e);
    event_notifier_cleanup(&e);

    assert(event_notifier_init(&e, true) == 0);
    assert(readable(&e) && event_notifier_test_and_clear(&e));
    event_notifier_cleanup(&e);
}

/* Neither blocks nor fails when full, and all of it is drained at once. */
static void test_full(void)
{
    struct event_notifier e;
    uint64_t most = UINT64_MAX - 1;

    assert(event_notifier_init(&e, false) == 0);
    if (e.rfd == e.wfd) {
        assert(write(e.wfd, &most, sizeof(most)) == sizeof(most));
    }
    for (int i = 0; i < 20000; i++) { /* more than a pipe holds */
        assert(event_notifier_set(&e) == 0);
    }
    assert(event_notifier_test_and_clear(&e) && !readable(&e));
    event_notifier_cleanup(&e);
}

int main(int argc, char **argv)
{
    pthread_t threads[SETTERS];
    uint64_t seen = 0;

    rounds = count_arg(argc, argv, rounds);
    test_one_thread();
    test_full();
    assert(event_notifier_init(&notifier, false) == 0);
    atomic_init(&running, SETTERS);
    for (int i = 0; i < SETTERS; i++) {
        threads[i] = thread_start(set_often, (void *)(uintptr_t)(i + 1));
    }
    while (atomic_load_explicit(&running, memory_order_acquire)) {
        seen += event_notifier_test_and_clear(&notifier);
    }
    for (int i = 0; i < SETTERS; i++) {
        thread_join(threads[i]);
    }
    seen += event_notifier_test_and_clear(&notifier);
    assert(seen > 0 && seen <= SETTERS * rounds && !readable(&notifier));
    assert(event_notifier_set(&notifier) == 0 && readable(&notifier));
    event_notifier_cleanup(&notifier);
    printf("event_notifier: %llu sets seen as %llu\n",
           (unsigned long long)(SETTERS * rounds), (unsigned long long)seen);
    return 0;
}
