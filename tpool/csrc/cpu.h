/* SPDX-License-Identifier: MIT
 *
 * Which CPU a thread runs on and how many it may use: two threads must never
 * busy-wait for each other on one.
 */
#ifndef TPOOL_CPU_H
#define TPOOL_CPU_H

#include "osdep.h"

/* Any thread.  The CPU the caller runs on, or -1 where that cannot be told. */
int cpu_current(void);

/*
 * Any thread.  CPUs that the calling thread may use at once: its affinity mask,
 * bounded by the quota of its control group (rounded up).  At least 1.
 */
int cpu_usable(void);

/*
 * The calling thread.  Has it run on another CPU than this one, if it may, and
 * leaves its affinity as it was.  Returns whether it moved.
 */
bool cpu_leave(int cpu);

/*
 * The two sides of a busy wait.  Any thread, relaxed: a stale value costs one
 * poll phase too many or too few.
 */
struct cpu_pair {
    _Atomic int owner;  /* CPU it ran on last; -1: unknown, so never equal */
    _Atomic int worker; /* the last that took a request or began to poll */
    atomic_bool single; /* one usable CPU: nobody spins */
    _Atomic uint32_t owner_waits; /* 1 while the owner waits without the GIL */
    _Atomic uint32_t refused; /* poll phases in a row that could not begin */
    /*
     * How long each took to wake for the work it had last, 0 where it polled.
     * The other side takes it off the time it waited itself: had both polled,
     * the work would have come that much sooner.
     */
    _Atomic int64_t owner_lag_ns;
    _Atomic int64_t worker_lag_ns;
};

void cpu_pair_init(struct cpu_pair *pair);

/* Any thread.  Publishes where the caller runs on its side of the pair. */
void cpu_publish(_Atomic int *mine);

/* Any thread.  Publishes how long the caller took to wake. */
void cpu_publish_lag(_Atomic int64_t *mine, int64_t lag_ns);

/* Either side.  A poll phase could not begin, as they share a CPU; or it could. */
void cpu_pair_count_refused(struct cpu_pair *pair, bool refused);

/* Any thread.  Whether waiting busily can only keep the partner from running. */
bool cpu_pair_is_shared(struct cpu_pair *pair);

#endif
