/* SPDX-License-Identifier: MIT
 *
 * fd monitor: readiness, generations, closed and reused fds, reset, time-outs
 * that are never early, and registration by another thread during a wait.
 * Of both kinds, epoll's and poll's.
 */
#include "stress.h"
#include "aio/fdmon.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <sys/time.h>

#define MANY 300 /* more than a batch, and than the first size of an array */

static struct fdmon m;
static struct fdmon_event events[FDMON_BATCH];

static int ready_now(void)
{
    return fdmon_wait(&m, 0, events);
}

static void test_ready(void)
{
    int fds[2];

    assert(pipe(fds) == 0);
    assert(fdmon_set(&m, fds[0], 1, FDMON_READ) == 0);
    assert(ready_now() == 0);
    assert(write(fds[1], "x", 1) == 1);
    assert(ready_now() == 1 && events[0].fd == fds[0] && events[0].gen == 1);
    assert(events[0].events == FDMON_READ);
    assert(ready_now() == 1); /* level-triggered */
    assert(fdmon_set(&m, fds[0], UINT32_MAX, FDMON_READ) == 0);
    assert(ready_now() == 1 && events[0].gen == UINT32_MAX);
    assert(fdmon_set(&m, fds[1], 2, FDMON_WRITE) == 0);
    assert(ready_now() == 2);
    assert(fdmon_set(&m, fds[0], 0, 0) == 0);
    assert(ready_now() == 1 && events[0].fd == fds[1]);
    assert(events[0].events == FDMON_WRITE);
    close(fds[0]); /* the other end learns it without having asked */
    assert(ready_now() == 1 && (events[0].events & FDMON_ERROR));
    assert(fdmon_set(&m, fds[1], 0, 0) == 0);
    assert(fdmon_set(&m, fds[1], 0, 0) == -ENOENT);
    close(fds[1]);
    assert(fdmon_set(&m, fds[1], 0, FDMON_READ) == -EBADF);
    assert(ready_now() == 0);
}

static int reset(void)
{
    struct fdmon anew;

    assert(fdmon_init_as(&anew, m.ops) == 0);
    return fdmon_replace(&m, &anew);
}

/* A closed fd whose number stands for another file, and one that lives on. */
static void test_closed(void)
{
    int a[2], b[2], copy;

    assert(pipe(a) == 0 && pipe(b) == 0);
    assert(write(a[1], "x", 1) == 1 && write(b[1], "x", 1) == 1);
    assert(fdmon_set(&m, a[0], 7, FDMON_READ) == 0);
    copy = dup(a[0]);
    assert(copy >= 0 && dup2(b[0], a[0]) == a[0]);
    assert(fdmon_set(&m, a[0], 8, FDMON_READ) == 0);
    for (int i = 0, n = ready_now(); i < n; i++) {
        /* epoll reports both: the generation tells them apart. */
        assert(events[i].fd == a[0]);
        assert(events[i].gen == 7 || events[i].gen == 8);
    }
    close(a[0]);
    assert(reset() == 0 && ready_now() == 0);
    assert(fdmon_set(&m, b[0], 9, FDMON_READ) == 0);
    assert(ready_now() == 1 && events[0].gen == 9);
    close(copy);
    close(b[0]);
    if (m.ops == &fdmon_epoll_ops) {
        assert(fdmon_fileno(&m) >= 0 && ready_now() == 0);
    } else {
        assert(fdmon_fileno(&m) == -ENOSYS);
        assert(ready_now() == 1 && events[0].events == FDMON_INVALID);
    }
    assert(reset() == 0);
    close(a[1]);
    close(b[1]);
}

static void test_many(void)
{
    int fds[MANY][2], seen;
    bool reported[MANY];
    struct rlimit limit;

    assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    assert(limit.rlim_cur >= 2 * MANY + 16);
    for (int i = 0; i < MANY; i++) {
        assert(pipe(fds[i]) == 0 && write(fds[i][1], "x", 1) == 1);
        assert(fdmon_set(&m, fds[i][0], (uint32_t)i, FDMON_READ) == 0);
    }
    /* Ready fds that nobody deals with keep none of the others from being seen. */
    memset(reported, 0, sizeof(reported));
    for (int round = 0; round < 2; round++) {
        assert(ready_now() == FDMON_BATCH);
        for (int i = 0; i < FDMON_BATCH; i++) {
            reported[events[i].gen] = true;
        }
    }
    for (int i = 0; i < MANY; i++) {
        assert(reported[i]);
    }
    seen = ready_now();
    assert(seen == FDMON_BATCH);
    for (int i = 0; i < seen; i++) {
        assert(fds[events[i].gen][0] == events[i].fd);
        assert(fdmon_set(&m, events[i].fd, 0, 0) == 0);
    }
    assert(ready_now() == MANY - FDMON_BATCH);
    assert(reset() == 0 && ready_now() == 0);
    for (int i = 0; i < MANY; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

static void wait_some_times(void)
{
    for (int64_t ns = 1; ns < 8 * NS_PER_MS; ns = 2 * ns + 1) {
        int64_t begin_ns = clock_now_ns();

        assert(fdmon_wait(&m, ns, events) == 0);
        assert(clock_now_ns() - begin_ns >= ns);
    }
}

static void test_never_early(void)
{
    wait_some_times();
    if (m.ops == &fdmon_epoll_ops) {
        m.epoll.no_pwait2 = true; /* an older kernel: ms, rounded up */
        wait_some_times();
        m.epoll.no_pwait2 = false;
    }
}

static atomic_int signals;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed);
}

/* A signal ends the wait, which is no error. */
static void test_signal(void)
{
    int before = atomic_load_explicit(&signals, memory_order_relaxed);
    struct itimerval once = {.it_value = {.tv_usec = 1000}};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &once, NULL);
    assert(fdmon_wait(&m, -1, events) == 0);
    assert(atomic_load_explicit(&signals, memory_order_relaxed) == before + 1);
}

static pthread_mutex_t context = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool done;

static void *set_often(void *arg)
{
    struct rng r;
    int fds[40][2];

    rng_init(&r, 3);
    for (int i = 0; i < 40; i++) {
        assert(pipe(fds[i]) == 0 && write(fds[i][1], "x", 1) == 1);
    }
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 40; i++) {
            pthread_mutex_lock(&context);
            assert(fdmon_set(&m, fds[i][0], (uint32_t)i, FDMON_READ) == 0);
            pthread_mutex_unlock(&context);
        }
        random_delay(&r);
        for (int i = 0; i < 40; i++) {
            pthread_mutex_lock(&context);
            assert(fdmon_set(&m, fds[i][0], 0, 0) == 0);
            pthread_mutex_unlock(&context);
        }
    }
    atomic_store_explicit(&done, true, memory_order_release);
    for (int i = 0; i < 40; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    return arg;
}

/* The contract of fdmon_wait(): who registers holds the lock, who waits not. */
static uint64_t test_two_threads(void)
{
    pthread_t thread;
    uint64_t seen = 0;

    atomic_store_explicit(&done, false, memory_order_relaxed);
    thread = thread_start(set_often, NULL);
    while (!atomic_load_explicit(&done, memory_order_acquire)) {
        int n = fdmon_wait(&m, 1000, events);

        assert(n >= 0 && n <= 40);
        seen += (uint64_t)n;
    }
    thread_join(thread);
    assert(ready_now() == 0);
    return seen;
}

/* -Wl,--wrap=epoll_create1 */
static int refusal;
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);

int __wrap_epoll_create1(int flags)
{
    errno = refusal;
    return refusal ? -1 : __real_epoll_create1(flags);
}

/* poll(2) where there is no epoll, not where there are no fds. */
static void test_choice(void)
{
    struct fdmon chosen;

    refusal = EMFILE;
    assert(fdmon_init(&chosen) == -EMFILE);
    refusal = ENOSYS;
    assert(fdmon_init(&chosen) == 0 && chosen.ops == &fdmon_poll_ops);
    fdmon_cleanup(&chosen);
    refusal = 0;
    assert(fdmon_init(&chosen) == 0 && chosen.ops == &fdmon_epoll_ops);
    fdmon_cleanup(&chosen);
}

/* All that a context has of its own wake it, also where nothing else may be waited for. */
static void test_own(const struct fdmon_ops *ops)
{
    struct event_notifier own[FDMON_OWN];
    struct fdmon mine;

    assert(fdmon_init_as(&mine, ops) == 0);
    for (int i = 0; i < FDMON_OWN; i++) {
        assert(event_notifier_init(&own[i], false) == 0);
        assert(fdmon_add_own(&mine, &own[i]) == 0);
    }
    for (int haunted = 0; haunted < 2; haunted++) {
        assert(fdmon_wait(&mine, NS_PER_MS, events) == 0);
        for (int i = 0; i < FDMON_OWN; i++) {
            assert(event_notifier_set(&own[i]) == 0);
            assert(fdmon_wait(&mine, -1, events) == 1);
            assert(events[0].fd == own[i].rfd && events[0].gen == 0);
            assert(event_notifier_test_and_clear(&own[i]));
        }
        fdmon_haunt(&mine);
    }
    fdmon_cleanup(&mine);
    for (int i = 0; i < FDMON_OWN; i++) {
        event_notifier_cleanup(&own[i]);
    }
}

static uint64_t test_as(const struct fdmon_ops *ops)
{
    uint64_t seen;

    assert(fdmon_init_as(&m, ops) == 0);
    test_ready();
    test_closed();
    test_many();
    test_never_early();
    test_signal();
    seen = test_two_threads();
    fdmon_cleanup(&m);
    test_own(ops);
    return seen;
}

int main(void)
{
    uint64_t seen = test_as(&fdmon_epoll_ops) + test_as(&fdmon_poll_ops);

    test_choice();
    printf("fdmon: %llu events\n", (unsigned long long)seen);
    return 0;
}
