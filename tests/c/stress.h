/* SPDX-License-Identifier: MIT
 *
 * What the stress programs share: threads, a PRNG with a fixed seed, waiting
 * for a condition with a deadline, and random short delays.
 */
#ifndef TPOOL_STRESS_H
#define TPOOL_STRESS_H

#include "base/osdep.h"
#include "base/clock.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* What cannot happen soon will not happen at all: fail instead of hanging. */
#ifndef STRESS_DEADLINE_NS
#define STRESS_DEADLINE_NS (60 * NS_PER_SECOND)
#endif
/* Busy looks between two sched_yield(): there may be one CPU only. */
#define STRESS_SPINS 2000

/* xorshift64*: the decisions are the same in each run. */
struct rng {
    uint64_t state;
};

static inline void rng_init(struct rng *r, uint64_t seed)
{
    r->state = (seed + 1) * 0x9e3779b97f4a7c15ULL;
}

static inline uint32_t rng_next(struct rng *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)(r->state * 0x2545f4914f6cdd1dULL >> 32);
}

static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((uint64_t)rng_next(r) * n >> 32);
}

static inline void spin(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cpu_relax();
    }
}

/* Mostly none or tiny; now and then longer than any window, or a yield. */
static inline void random_delay(struct rng *r)
{
    uint32_t kind = rng_below(r, 256);

    if (kind == 0) {
        sched_yield();
    } else if (kind < 8) {
        spin(rng_below(r, 2000));
    } else if (kind < 128) {
        spin(rng_below(r, 40));
    }
}

#define WAIT_UNTIL(condition)                                                  \
    do {                                                                       \
        int64_t until_ns_ = 0;                                                 \
        for (uint32_t spins_ = 1; !(condition); spins_++) {                    \
            cpu_relax();                                                       \
            if (spins_ % STRESS_SPINS == 0) {                                  \
                int64_t now_ns_ = clock_now_ns();                              \
                if (!until_ns_) {                                              \
                    until_ns_ = now_ns_ + STRESS_DEADLINE_NS;                  \
                }                                                              \
                assert(now_ns_ < until_ns_ && "never: " #condition);           \
                sched_yield();                                                 \
            }                                                                  \
        }                                                                      \
    } while (0)

static inline pthread_t thread_start(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    assert(pthread_create(&thread, NULL, run, arg) == 0);
    return thread;
}

/*
 * Keeps the caller on the nth CPU that the process may use, where there is one:
 * who wakes another tends to be put beside it, and then nothing ever meets.
 * First called by the first thread, while it may still use them all.
 */
static inline void pin_to_cpu(int nth)
{
    static cpu_set_t usable;
    cpu_set_t one;

    if (CPU_COUNT(&usable) == 0) {
        sched_getaffinity(0, sizeof(usable), &usable);
    }
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && nth-- == 0) {
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one);
        }
    }
}

static inline void thread_join(pthread_t thread)
{
    assert(pthread_join(thread, NULL) == 0);
}

/* The count from the command line, if one is given. */
static inline uint64_t count_arg(int argc, char **argv, uint64_t count)
{
    return argc > 1 ? strtoull(argv[1], NULL, 10) : count;
}

/* The seed after it, if one is given. */
static inline uint64_t seed_arg(int argc, char **argv)
{
    return argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
}

#endif
