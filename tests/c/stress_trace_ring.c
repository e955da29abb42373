/* SPDX-License-Identifier: MIT
 *
 * Trace ring: while its writers lap it, a reader gets whole events only, each
 * thread's in order, and every event is either read or counted as lost.
 */
#include "stress.h"
#include "base/trace_ring.h"

#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 3

static struct trace trace;
static atomic_int running;
static uint64_t events = 60000;

/* The four fields of an event follow from its number: a mixture shows. */
static void *write_events(void *arg)
{
    uintptr_t writer = (uintptr_t)arg;
    struct rng r;

    rng_init(&r, writer);
    for (uint64_t i = 0; i < events; i++) {
        trace_emit(&trace, (enum trace_kind)(i % TRACE_KINDS),
                   (void *)(writer * events + i), (int64_t)i);
        if (i % 64 == 0) {
            random_delay(&r);
        }
    }
    atomic_fetch_sub_explicit(&running, 1, memory_order_release);
    return NULL;
}

static uint64_t read_all(int64_t last[WRITERS], int64_t last_ns[WRITERS])
{
    struct trace_event event;
    uint64_t n = 0;

    while (trace_read(&trace, &event)) {
        uint64_t writer = event.id / events;

        assert(writer < WRITERS);
        assert(event.id % events == (uint64_t)event.arg);
        assert(event.kind == (enum trace_kind)(event.arg % TRACE_KINDS));
        assert(event.arg > last[writer]);
        assert(event.time_ns >= last_ns[writer]);
        last[writer] = event.arg;
        last_ns[writer] = event.time_ns;
        n++;
    }
    return n;
}

static void *write_one(void *arg)
{
    trace_emit(&trace, TRACE_POLL_GROW, arg, 1);
    return NULL;
}

/* The ring of a thread that has ended stays until it is read, and no longer. */
static void test_ended_threads(void)
{
    struct trace_event event;

    atomic_store_explicit(&trace.on, true, memory_order_relaxed);
    for (int i = 0; i < 2; i++) {
        thread_join(thread_start(write_one, &trace));
        assert(trace.rings);
        if (i == 0) {
            assert(trace_read(&trace, &event));
            assert(!trace_read(&trace, &event));
        } else {
            trace_clear(&trace);
        }
        assert(!trace.rings);
    }
    atomic_store_explicit(&trace.on, false, memory_order_relaxed);
}

static void test_one_thread(void)
{
    struct trace_event event;

    trace_emit(&trace, TRACE_POLL_GROW, &trace, 1); /* off */
    assert(!trace_read(&trace, &event) && trace_lost(&trace) == 0);
    atomic_store_explicit(&trace.on, true, memory_order_relaxed);
    trace_emit(&trace, TRACE_POLL_GROW, &trace, 2);
    assert(trace_read(&trace, &event) && event.kind == TRACE_POLL_GROW);
    assert(event.id == (uintptr_t)&trace && event.arg == 2);
    assert(event.thread == (uint64_t)(uintptr_t)pthread_self());
    assert(!trace_read(&trace, &event));
    for (int i = 0; i < TRACE_RING_EVENTS + 5; i++) {
        trace_emit(&trace, TRACE_POLL_GROW, &trace, i);
    }
    /* One slot less than the ring is sure to be whole. */
    assert(trace_read(&trace, &event) && event.arg == 6);
    assert(trace_lost(&trace) == 6);
    trace_clear(&trace);
    assert(!trace_read(&trace, &event) && trace_lost(&trace) == 0);
}

/* Forked while another thread, which is not in the child, has the lock. */
static void test_after_fork(void)
{
    struct trace_event event;
    pid_t child;
    int status;

    pthread_mutex_lock(&trace.lock);
    child = fork();
    if (child == 0) {
        alarm(10);
        trace_after_fork(&trace);
        atomic_store_explicit(&trace.on, true, memory_order_relaxed);
        trace_emit(&trace, TRACE_POLL_GROW, &trace, 1);
        _exit(trace_read(&trace, &event) ? 0 : 1);
    }
    pthread_mutex_unlock(&trace.lock);
    assert(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
    int64_t last[WRITERS] = {-1, -1, -1}, last_ns[WRITERS] = {0};
    pthread_t threads[WRITERS];
    uint64_t seen = 0;

    events = count_arg(argc, argv, events);
    assert(trace_init(&trace) == 0);
    test_ended_threads();
    test_one_thread();
    test_after_fork();
    atomic_init(&running, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        threads[i] = thread_start(write_events, (void *)(intptr_t)i);
    }
    while (atomic_load_explicit(&running, memory_order_acquire)) {
        seen += read_all(last, last_ns);
    }
    for (int i = 0; i < WRITERS; i++) {
        thread_join(threads[i]);
    }
    seen += read_all(last, last_ns);
    assert(seen + trace_lost(&trace) == WRITERS * events);
    for (int i = 0; i < WRITERS; i++) {
        assert(last[i] == (int64_t)events - 1); /* the newest are never lost */
    }
    trace_cleanup(&trace);
    printf("trace_ring: %llu events, %llu read\n",
           (unsigned long long)(WRITERS * events), (unsigned long long)seen);
    return 0;
}
