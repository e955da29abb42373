/* SPDX-License-Identifier: MIT
 *
 * CPU time of the process, as it is now.  What a thread computes on another CPU the kernel
 * adds when that thread stops, and at each tick, which may be 10 ms later; or when its own
 * clock is read.  So those of ours that may be computing are known here, and theirs are read
 * first.
 *
 * Source: thread_group_cputime() of Linux, which brings only its caller up to date.
 */
#ifndef TPOOL_BASE_CPU_TIME_H
#define TPOOL_BASE_CPU_TIME_H

#include "base/clock.h"

/* Of two that share a place the newer one is known. */
#define CPU_TIME_PLACES 64

/* Any thread, relaxed: who is missed is added by the kernel, later. */
struct cpu_time {
    _Atomic clockid_t computing[CPU_TIME_PLACES]; /* 0: nobody */
    _Atomic unsigned next;                        /* where reading goes on */
};

static inline void cpu_time_init(struct cpu_time *time)
{
    for (int i = 0; i < CPU_TIME_PLACES; i++) {
        atomic_init(&time->computing[i], 0);
    }
    atomic_init(&time->next, 0);
}

/* The thread of this clock may compute from now on. */
void cpu_time_begin(struct cpu_time *time, clockid_t clock);

/* It sleeps, or has ended. */
void cpu_time_end(struct cpu_time *time, clockid_t clock);

/*
 * Any thread.  What all threads of the process have computed, ever.  Some system calls, and
 * the caller is known from then on.
 */
int64_t cpu_time_of_process_ns(struct cpu_time *time);

#endif
