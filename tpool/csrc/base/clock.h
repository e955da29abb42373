/* SPDX-License-Identifier: MIT
 *
 * Time as int64_t nanoseconds of the monotonic clock: -1 is infinite, 0 does
 * not block.
 */
#ifndef TPOOL_BASE_CLOCK_H
#define TPOOL_BASE_CLOCK_H

#include "base/osdep.h"
#include <pthread.h>
#include <time.h>

#define NS_PER_SECOND 1000000000LL
#define NS_PER_MS     1000000LL
#define NS_PER_US     1000LL

static inline int64_t clock_read_ns(clockid_t clock)
{
    struct timespec ts = {0};

    clock_gettime(clock, &ts);
    return ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

/* Any thread.  CLOCK_MONOTONIC never steps back; the wall clock is not read. */
static inline int64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

/* Any thread.  What it has computed, ever; a system call. */
static inline int64_t clock_thread_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The clock of that, for any thread to read while the caller's is there. */
static inline clockid_t clock_of_this_thread(void)
{
    clockid_t clock;

#ifndef __APPLE__ /* has none */
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0) {
        return clock;
    }
#endif
    return CLOCK_MONOTONIC; /* taken to compute all the time */
}

/* The sooner of two timeouts; as unsigned numbers -1 is the largest. */
static inline int64_t soonest_timeout_ns(int64_t a_ns, int64_t b_ns)
{
    return (uint64_t)a_ns < (uint64_t)b_ns ? a_ns : b_ns;
}

/* now + timeout, saturating; an infinite timeout has an infinite deadline. */
static inline int64_t deadline_after_ns(int64_t now_ns, int64_t timeout_ns)
{
    if (timeout_ns < 0 || timeout_ns > INT64_MAX - now_ns) {
        return -1;
    }
    return now_ns + timeout_ns;
}

/* What is left until the deadline, never negative unless it is infinite. */
static inline int64_t remaining_ns(int64_t now_ns, int64_t deadline_ns)
{
    if (deadline_ns < 0) {
        return -1;
    }
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

/* Both from now; the clock is not read where there is no end. */
static inline int64_t deadline_in_ns(int64_t timeout_ns)
{
    return timeout_ns < 0 ? -1 : deadline_after_ns(clock_now_ns(), timeout_ns);
}

static inline int64_t time_left_ns(int64_t deadline_ns)
{
    return deadline_ns < 0 ? -1 : remaining_ns(clock_now_ns(), deadline_ns);
}

static inline struct timespec timespec_from_ns(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_SECOND,
                             .tv_nsec = ns % NS_PER_SECOND};
}

#endif
