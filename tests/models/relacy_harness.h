/* SPDX-License-Identifier: MIT
 *
 * Lets relacy, a weak-memory model checker, compile the real C files of the
 * floors: <stdatomic.h> becomes rl::atomic, the kernel becomes an rl event.
 *
 * Stands in for osdep.h, clock.h, event_notifier.h, parker.h and os_thread.h, whose
 * guards it takes.  `_Atomic` is rewritten by tests/c/c_build.py: no macro can.
 */
#ifndef TPOOL_RELACY_HARNESS_H
#define TPOOL_RELACY_HARNESS_H

#include <pthread.h>
#include <string.h>
#include <stdint.h>
#include <cstdlib>
#include <relacy/relacy.hpp>

#define TPOOL_BASE_OSDEP_H
#define TPOOL_BASE_CLOCK_H
#define TPOOL_BASE_EVENT_NOTIFIER_H
#define TPOOL_BASE_PARKER_H
#define TPOOL_BASE_OS_THREAD_H

using namespace rl;

#define CACHE_LINE 64
#define _Alignas   alignas

/* relacy.hpp makes `memory_order_x` an order and the place, with a comma. */
#define atomic_init(p, v)                    (p)->store(v, memory_order_relaxed)
#define atomic_load_explicit(p, ...)         (p)->load(__VA_ARGS__)
#define atomic_store_explicit(p, v, ...)     (p)->store(v, __VA_ARGS__)
#define atomic_exchange_explicit(p, v, ...)  (p)->exchange(v, __VA_ARGS__)
#define atomic_fetch_add_explicit(p, v, ...) (p)->fetch_add(v, __VA_ARGS__)
#define atomic_fetch_sub_explicit(p, v, ...) (p)->fetch_sub(v, __VA_ARGS__)
#define atomic_fetch_or_explicit(p, v, ...)  (p)->fetch_or(v, __VA_ARGS__)
#define atomic_compare_exchange_weak_explicit(p, expected, v, ...)             \
    (p)->compare_exchange_weak(*(expected), v, __VA_ARGS__)

/* The same in each run: what the checker does must follow from its seed. */
#define NS_PER_MS                         1000000LL
#define sched_yield()                     0
#define sched_getcpu()                    0
#define sched_getaffinity(pid, size, set) (-1)
#define sched_setaffinity(pid, size, set) 0

/* Would wipe out the checker's own fields; the suites value-initialize. */
#define memset(p, c, n) ((void)(p))

static inline void prefetch_object(const void *p)
{
    (void)p;
}

static inline void cpu_relax(void)
{
    rl::yield(1, $);
}

static inline long os_thread_be_punctual(void)
{
    return -1;
}

static inline void os_thread_set_slack(long slack_ns)
{
    (void)slack_ns;
}

/* There is no time: a finite wait ends whenever the scheduler likes. */
static inline int64_t clock_now_ns(void)
{
    return 1;
}

static inline clockid_t clock_of_this_thread(void)
{
    return 0;
}

static inline int64_t clock_read_ns(clockid_t clock)
{
    return clock_now_ns();
}

static inline int64_t deadline_after_ns(int64_t now_ns, int64_t timeout_ns)
{
    return timeout_ns < 0 ? -1 : now_ns + timeout_ns;
}

static inline int64_t remaining_ns(int64_t now_ns, int64_t deadline_ns)
{
    return deadline_ns < 0 ? -1 : deadline_ns - now_ns;
}

/* The fd: readable from set() until it is drained. */
struct event_notifier {
    rl::generic_event fd;
};

static int event_notifier_init_pipe(struct event_notifier *e)
{
    e->fd.init(true, false, $);
    return 0;
}

static void event_notifier_cleanup(struct event_notifier *e)
{
    e->fd.deinit($);
}

static int event_notifier_set(struct event_notifier *e)
{
    e->fd.set($);
    return 0;
}

static bool event_notifier_readable(struct event_notifier *e)
{
    return e->fd.wait(true, false, $) == rl::sema_wakeup_reason_success;
}

static bool event_notifier_drain(struct event_notifier *e)
{
    bool value = event_notifier_readable(e);

    e->fd.reset($);
    return value;
}

static bool event_notifier_test_and_clear(struct event_notifier *e)
{
    return event_notifier_drain(e);
}

struct parker {
    rl::generic_event word;
};

static void parker_init(struct parker *p)
{
    p->word.init(false, false, $);
}

static void parker_cleanup(struct parker *p)
{
    p->word.deinit($);
}

static bool parker_wait(struct parker *p, int64_t timeout_ns)
{
    return p->word.wait(timeout_ns == 0, timeout_ns > 0, $) ==
           rl::sema_wakeup_reason_success;
}

static void parker_wake(struct parker *p)
{
    p->word.set($);
}

/*
 * Runs the suite so many times; says at which it failed, and why.  With
 * TPOOL_RELACY_TRACE in the environment also how, step by step.
 */
template <typename suite> static bool check(const char *what, unsigned n)
{
    typedef rl::random_scheduler<suite::params::thread_count> scheduler;
    rl::test_params params;
    std::ostringstream state;
    std::ostream nowhere(nullptr);

    params.iteration_count = n;
    params.collect_history = getenv("TPOOL_RELACY_TRACE") != nullptr;
    params.output_stream = params.collect_history ? &std::cout : &nowhere;
    params.progress_stream = &nowhere;
    /* Not rl::simulate(): it compiles two more schedulers, which takes long. */
    rl::run_test<suite, scheduler>(params, state, false);
    if (params.test_result == rl::test_result_success) {
        return true;
    }
    std::cout << what << ": " << rl::test_result_str(params.test_result)
              << " in iteration " << params.stop_iteration << std::endl;
    return false;
}

#endif
