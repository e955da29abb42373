/* SPDX-License-Identifier: MIT
 *
 * Which CPU a thread runs on and how many it may use: two threads must never
 * busy-wait for each other on one.
 */
#ifndef TPOOL_BASE_CPU_H
#define TPOOL_BASE_CPU_H

#include "base/cpu_time.h"
#include <sched.h>

/* Any thread.  The CPU the caller runs on, or -1 where that cannot be told. */
int cpu_current(void);

/*
 * Any thread.  CPUs that the calling thread may use at once: its affinity mask,
 * bounded by the quota of its control group (rounded up).  At least 1.
 */
int cpu_usable(void);

/* cpu_pair.owner_waits: it sleeps or polls; or it takes the GIL back at once. */
#define OWNER_WAITS  1u
#define OWNER_YIELDS 2u

/* cpu_pair.owner: on its way to another CPU. */
#define CPU_MOVING (-2)

/*
 * The two sides of a busy wait.  Any thread, relaxed: a stale value costs one
 * poll phase too many or too few.
 */
struct cpu_pair {
    _Atomic int owner; /* CPU it ran on last; below 0 never equals another */
    _Atomic uint32_t moves;  /* odd while the owner's affinity is not its own */
    _Atomic int worker;      /* the last that took a request or began to poll */
    _Atomic uint32_t usable; /* CPUs */
    _Atomic uint32_t abreast; /* calls at once, at most, as measured */
    atomic_bool crowd;        /* more than a few ran at once */
    atomic_bool blocks; /* nobody polls for calls: it costs more, as measured */
    _Atomic uint32_t owner_waits; /* not 0 while the owner is without the GIL */
    /*
     * 1 while a worker that was woken, or started, is on its way: on which CPU it
     * will be is for the kernel to say, and it may well be that of its waker.
     */
    _Atomic uint32_t worker_comes;
    _Atomic int64_t crowded_ns; /* until then others want the CPU: no yields */
    /*
     * How long each took to wake for the work it had last, 0 where it polled.
     * The other side takes it off the time it waited itself: had both polled,
     * the work would have come that much sooner.
     */
    _Atomic int64_t owner_lag_ns;
    _Atomic int64_t worker_lag_ns;
    struct cpu_time time; /* of both sides, as they compute now */
};

void cpu_pair_init(struct cpu_pair *pair);

/*
 * Any thread that polls: lets those run that wait for its CPU.  Not for a while after that
 * has let in somebody who stayed, until *crowded_ns: a thread that yields waits for its
 * turn, one that is woken does not.  Returns whether it yielded.
 */
bool cpu_yield(_Atomic int64_t *crowded_ns);

/* The same for a partner that was woken, and that the kernel may have put here. */
static inline bool cpu_pair_yield(struct cpu_pair *pair)
{
    return cpu_yield(&pair->crowded_ns);
}

/* Owner.  Looks again how many CPUs are usable: costs some microseconds. */
void cpu_pair_look(struct cpu_pair *pair);

/* Any thread.  Publishes where the caller runs on its side of the pair. */
void cpu_publish(_Atomic int *mine);

/* Any thread.  Publishes how long the caller took to wake. */
void cpu_publish_lag(_Atomic int64_t *mine, int64_t lag_ns);

/*
 * One thread.  The only way to another CPU is to take this one out of the affinity
 * for a moment, and nobody can change an affinity only if it is still what it was:
 * what somebody else decides in that moment would be undone.
 *
 * So a thread whose affinity others change is not moved any more: one that is not
 * what it was at the first move, or that has changed between two steps of a move.
 * What is left is a decision, the first for this thread, that comes between the
 * look and the step that follows it, 0.2 us later.
 */
struct cpu_leave {
    int tid;     /* whose affinity that is; 0: nobody's yet */
    bool others; /* have a say in where it runs */
#ifdef __linux__
    cpu_set_t set; /* its affinity */
#endif
};

/*
 * The calling thread.  Has it run on another CPU than this one, if it may, and
 * leaves its affinity as it was.  Returns whether it moved.
 */
bool cpu_leave(struct cpu_leave *leave, int cpu);

/* The same, to run on it. */
bool cpu_join(struct cpu_leave *leave, int cpu);

/*
 * Owner only.  A kernel that takes a halted CPU for a busy one (a virtual one
 * may be both) wakes a thread where its waker runs, and leaves two that wake
 * each other on one CPU for thousands of round trips.  After some the owner
 * moves: of the two it is the one that then needs no wake-up, which would bring
 * them together again.
 */
struct cpu_parting {
    uint32_t refused;     /* poll phases in a row that could not begin */
    uint32_t refused_max; /* until the owner moves; grows while that is vain */
    bool meets;           /* the owner is to move where the worker is */
    struct cpu_leave leave;
};

void cpu_parting_init(struct cpu_parting *parting);

/* Owner.  A poll phase has found work: the two are on CPUs of their own. */
void cpu_parting_done(struct cpu_parting *parting);

/*
 * Owner.  A poll phase cannot begin; whether it is time to move, if that pays: there is
 * another CPU, and something to poll for.
 */
bool cpu_parting_is_due(struct cpu_parting *parting, bool pays);

/* Owner, GIL released.  Moves it to another CPU, if there is one: see cpu_leave. */
void cpu_pair_part(struct cpu_pair *pair, struct cpu_parting *parting);

/*
 * A thread that works for the owner, whose number in the kernel is tid: may run where that
 * may, as if it had been started by it; not where the owner is for a moment.
 */
void cpu_pair_inherit(struct cpu_pair *pair, int tid);

/* Any thread.  Whether nobody polls for calls. */
static inline void cpu_pair_set_blocks(struct cpu_pair *pair, bool blocks)
{
    atomic_store_explicit(&pair->blocks, blocks, memory_order_relaxed);
}

static inline bool cpu_pair_blocks(const struct cpu_pair *pair)
{
    return atomic_load_explicit(&pair->blocks, memory_order_relaxed);
}

/*
 * Any thread.  How many calls are run at once, at most, unless they all sleep or block: 1,
 * a few, or UINT32_MAX.
 */
static inline uint32_t cpu_pair_abreast(const struct cpu_pair *pair)
{
    return atomic_load_explicit(&pair->abreast, memory_order_relaxed);
}

static inline void cpu_pair_set_abreast(struct cpu_pair *pair, uint32_t calls)
{
    atomic_store_explicit(&pair->abreast, calls, memory_order_relaxed);
}

/* Any thread.  So many keep the CPUs busy while some of them wait for something. */
static inline uint32_t cpu_pair_few(const struct cpu_pair *pair)
{
    return atomic_load_explicit(&pair->usable, memory_order_relaxed) + 4;
}

/* Any thread.  So many run at once in a pool. */
static inline void cpu_pair_count_running(struct cpu_pair *pair, uint32_t calls)
{
    if (calls > cpu_pair_few(pair) &&
        !atomic_load_explicit(&pair->crowd, memory_order_relaxed)) {
        atomic_store_explicit(&pair->crowd, true, memory_order_relaxed);
    }
}

/* One thread.  Whether more than a few did, since it was asked last. */
static inline bool cpu_pair_take_crowd(struct cpu_pair *pair)
{
    bool crowd = atomic_load_explicit(&pair->crowd, memory_order_relaxed);

    if (crowd) {
        atomic_store_explicit(&pair->crowd, false, memory_order_relaxed);
    }
    return crowd;
}

/* Any thread.  Whether there is one usable CPU: nobody spins, nor learns to. */
static inline bool cpu_pair_is_single(const struct cpu_pair *pair)
{
    return atomic_load_explicit(&pair->usable, memory_order_relaxed) == 1;
}

/*
 * Owner.  It is so from now on: two that do not poll are better off on one CPU, where a
 * wake-up is cheap, and the owner joins the worker when it blocks; two that do are not,
 * and they have been together.
 */
void cpu_parting_expect(struct cpu_parting *parting, bool blocks);

/* Owner, GIL released, about to block. */
void cpu_pair_meet(struct cpu_pair *pair, struct cpu_parting *parting);

/* Any thread.  Whether a worker was woken that has not come yet. */
bool cpu_pair_worker_comes(struct cpu_pair *pair);

/* Any thread.  One is woken, or has come. */
void cpu_pair_set_worker_comes(struct cpu_pair *pair, bool comes);

/* Any thread.  Whether waiting busily can only keep the partner from running. */
bool cpu_pair_is_shared(struct cpu_pair *pair);

#endif
