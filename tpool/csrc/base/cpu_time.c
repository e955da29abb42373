/* SPDX-License-Identifier: MIT
 *
 * See cpu_time.h.
 */
#include "base/cpu_time.h"

/* At a time: each takes some 0.3 us, and most of many sleep in their calls. */
#define READINGS 8

static _Atomic clockid_t *place_of(struct cpu_time *time, clockid_t clock)
{
    /* Linux: the number of the thread, inverted, above three bits. */
    return &time->computing[(unsigned)clock / 8 % CPU_TIME_PLACES];
}

void cpu_time_begin(struct cpu_time *time, clockid_t clock)
{
    atomic_store_explicit(place_of(time, clock), clock, memory_order_relaxed);
}

void cpu_time_end(struct cpu_time *time, clockid_t clock)
{
    _Atomic clockid_t *place = place_of(time, clock);

    if (atomic_load_explicit(place, memory_order_relaxed) == clock) {
        atomic_store_explicit(place, 0, memory_order_relaxed);
    }
}

int64_t cpu_time_of_process_ns(struct cpu_time *time)
{
    clockid_t own = clock_of_this_thread();
    unsigned at = atomic_load_explicit(&time->next, memory_order_relaxed);
    int left = READINGS;

    cpu_time_begin(time, own);
    for (int i = 0; i < CPU_TIME_PLACES && left; i++) {
        clockid_t clock = atomic_load_explicit(
            &time->computing[at++ % CPU_TIME_PLACES], memory_order_relaxed);
        struct timespec ts;

        if (!clock || clock == own) {
            continue;
        }
        if (clock_gettime(clock, &ts) < 0) {
            cpu_time_end(time, clock); /* its thread has */
        }
        left--;
    }
    atomic_store_explicit(&time->next, at, memory_order_relaxed);
    return clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
}
