/* SPDX-License-Identifier: MIT
 *
 * Clock arithmetic with -1 as infinity, the CPU pair under two writers, and the CPU time
 * of the process while another thread computes.
 */
#include "stress.h"
#include "base/cpu.h"

#include <sys/syscall.h>
#include <unistd.h>

static struct cpu_pair pair;
static atomic_bool stop;

static void *publish(void *arg)
{
    int64_t lag_ns = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        cpu_publish(&pair.worker);
        cpu_publish_lag(&pair.worker_lag_ns, ++lag_ns);
        sched_yield();
    }
    return arg;
}

static void test_clock(void)
{
    int64_t before_ns = clock_now_ns();
    struct timespec ts = timespec_from_ns(3 * NS_PER_SECOND + 7);

    assert(soonest_timeout_ns(-1, -1) == -1);
    assert(soonest_timeout_ns(-1, 5) == 5 && soonest_timeout_ns(5, -1) == 5);
    assert(soonest_timeout_ns(0, 5) == 0 && soonest_timeout_ns(7, 5) == 5);
    assert(soonest_timeout_ns(-1, INT64_MAX) == INT64_MAX);
    assert(deadline_after_ns(100, -1) == -1);
    assert(deadline_after_ns(100, 0) == 100);
    assert(deadline_after_ns(100, INT64_MAX - 100) == INT64_MAX);
    assert(deadline_after_ns(100, INT64_MAX - 99) == -1);
    assert(remaining_ns(100, -1) == -1);
    assert(remaining_ns(100, 100) == 0 && remaining_ns(101, 100) == 0);
    assert(remaining_ns(99, 100) == 1);
    assert(ts.tv_sec == 3 && ts.tv_nsec == 7);
    for (int i = 0; i < 100000; i++) {
        int64_t now_ns = clock_now_ns();

        assert(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

static void test_pair(void)
{
    cpu_pair_init(&pair);
    assert(cpu_pair_is_shared(&pair) == (cpu_usable() == 1));
    atomic_store_explicit(&pair.usable, 2, memory_order_relaxed);
    assert(!cpu_pair_is_shared(&pair)); /* unknown is not equal to unknown */
    atomic_store_explicit(&pair.owner, 3, memory_order_relaxed);
    assert(!cpu_pair_is_shared(&pair));
    atomic_store_explicit(&pair.worker, 3, memory_order_relaxed);
    assert(cpu_pair_is_shared(&pair));
    atomic_store_explicit(&pair.worker, 2, memory_order_relaxed);
    assert(!cpu_pair_is_shared(&pair));
    atomic_store_explicit(&pair.usable, 1, memory_order_relaxed);
    assert(cpu_pair_is_shared(&pair));
}

static void test_affinity(void)
{
    cpu_set_t before, one;
    int cpu = cpu_current();

    assert(cpu_usable() >= 1);
    assert(cpu >= 0 && cpu < sysconf(_SC_NPROCESSORS_CONF));
    assert(sched_getaffinity(0, sizeof(before), &before) == 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    assert(sched_setaffinity(0, sizeof(one), &one) == 0);
    assert(cpu_usable() == 1 && cpu_current() == cpu);
    assert(sched_setaffinity(0, sizeof(before), &before) == 0);
}

/* What somebody else decides when cpu_leave() has set so many masks. */
static cpu_set_t decision;
static int decide_after = -1;
/* Whose owner moves; how often its mask was set meanwhile. */
static struct cpu_pair *moving;
static int moves;

static int set_mask(const cpu_set_t *set)
{
    return (int)syscall(SYS_sched_setaffinity, 0, sizeof(*set), set);
}

/* In place of the C library's. */
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
    int ret;

    (void)pid;
    (void)size;
    if (moving) { /* the worker may run here already: it may poll */
        assert(!cpu_pair_is_shared(moving));
        assert(atomic_load_explicit(&moving->moves, memory_order_relaxed) % 2);
        moves++;
    }
    ret = set_mask(set);
    if (decide_after >= 0 && decide_after-- == 0) {
        assert(set_mask(&decision) == 0);
    }
    return ret;
}

static void assert_mask(const cpu_set_t *expected)
{
    cpu_set_t now;

    assert(sched_getaffinity(0, sizeof(now), &now) == 0);
    assert(CPU_EQUAL(&now, expected));
}

/* A move never undoes the decision of another, whenever that comes. */
static void test_leave(void)
{
    struct cpu_leave leave = {.tid = 0};
    cpu_set_t all;
    int cpu = cpu_current();

    assert(sched_getaffinity(0, sizeof(all), &all) == 0);
    if (CPU_COUNT(&all) == 1) {
        return; /* there is no other */
    }
    assert(cpu_leave(&leave, cpu) && cpu_current() != cpu);
    assert_mask(&all);
    assert(cpu_join(&leave, cpu) && cpu_current() == cpu);
    assert_mask(&all);
    assert(!cpu_join(&leave, CPU_SETSIZE) && !cpu_join(&leave, -1));
    assert(!leave.others);
    CPU_ZERO(&decision);
    CPU_SET((size_t)cpu_current(), &decision);
    /* In the middle of a move. */
    decide_after = 0;
    assert(!cpu_leave(&leave, cpu_current()));
    assert_mask(&decision);
    /* From then on it is left alone, also if it may run anywhere again. */
    assert(set_mask(&all) == 0);
    assert(!cpu_leave(&leave, cpu_current()));
    /* Between two moves. */
    leave = (struct cpu_leave){.tid = 0};
    assert(cpu_leave(&leave, cpu_current()));
    assert(set_mask(&decision) == 0);
    assert(!cpu_leave(&leave, cpu_current()));
    assert_mask(&decision);
    assert(set_mask(&all) == 0);
}

static void test_move(void)
{
    struct cpu_parting parting;
    int cpu = cpu_current();

    if (cpu_usable() == 1) {
        return;
    }
    cpu_pair_init(&pair);
    cpu_parting_init(&parting);
    cpu_publish(&pair.owner);
    atomic_store_explicit(&pair.worker, cpu_current(), memory_order_relaxed);
    assert(cpu_pair_is_shared(&pair));
    moving = &pair;
    cpu_pair_part(&pair, &parting);
    assert(moves > 0 && cpu_current() != cpu && !cpu_pair_is_shared(&pair));
    moves = 0;
    parting.meets = true;
    cpu_pair_meet(&pair, &parting);
    assert(moves > 0 && cpu_current() == cpu && cpu_pair_is_shared(&pair));
    moving = NULL;
}

static atomic_bool computes;

static void *compute(void *arg)
{
    cpu_time_begin(&pair.time, clock_of_this_thread());
    atomic_store_explicit(&computes, true, memory_order_relaxed);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    }
    return arg;
}

/* What two threads compute is there at once: more than they can is not added later. */
static void test_cpu_time(void)
{
    pthread_t thread;

    cpu_pair_init(&pair);
    thread = thread_start(compute, NULL);
    WAIT_UNTIL(atomic_load_explicit(&computes, memory_order_relaxed));
    for (int i = 0; i < 500; i++) {
        clockid_t other;
        int64_t begin_ns = clock_now_ns(), before_ns, after_ns;

        while (clock_now_ns() - begin_ns < 100 * NS_PER_US) {
        }
        begin_ns = clock_now_ns();
        before_ns = cpu_time_of_process_ns(&pair.time);
        assert(pthread_getcpuclockid(thread, &other) == 0);
        clock_read_ns(other);
        after_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
        assert(after_ns - before_ns <=
               2 * (clock_now_ns() - begin_ns) + 10 * NS_PER_US);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    thread_join(thread);
    atomic_store_explicit(&stop, false, memory_order_relaxed);
    assert(cpu_time_of_process_ns(&pair.time) >=
           clock_thread_cpu_ns()); /* it is gone */
}

int main(void)
{
    pthread_t thread;
    int64_t last_ns = 0;

    test_clock();
    test_pair();
    test_affinity();
    test_leave();
    test_move();
    test_cpu_time();
    cpu_pair_init(&pair);
    thread = thread_start(publish, NULL);
    WAIT_UNTIL(atomic_load_explicit(&pair.worker, memory_order_relaxed) >= 0);
    for (int i = 0; i < 20000; i++) {
        int64_t lag_ns = atomic_load_explicit(&pair.worker_lag_ns,
                                              memory_order_relaxed);

        assert(lag_ns >= last_ns);
        last_ns = lag_ns;
        cpu_publish(&pair.owner);
        cpu_pair_is_shared(&pair);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    thread_join(thread);
    printf("clock, cpu: %d usable\n", cpu_usable());
    return 0;
}
