/* SPDX-License-Identifier: MIT
 *
 * See cpu.h.
 */
#include "base/cpu.h"

#include <stdio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

/*
 * Poll phases that cannot begin, in a row, until the owner moves.  The first may
 * only seem so: a worker that is being woken was on this CPU before it slept.
 */
#define REFUSED_MIN 2
#define REFUSED_MAX 4096
/* A partner that is woken has done a short call by then, and a turn of others has
 * not ended. */
#define YIELD_MAX_NS 200000
/* How long the CPU is then taken for crowded. */
#define CROWDED_NS (100 * NS_PER_MS)

int cpu_current(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

#ifdef __linux__
/* CPUs of /sys/fs/cgroup/cpu.max ("QUOTA PERIOD" or "max PERIOD"), else max. */
static int cgroup_quota(int max)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    long quota, period;
    int n = max;

    if (!file) {
        return max;
    }
    if (fscanf(file, "%ld %ld", &quota, &period) == 2 && period > 0) {
        long cpus = (quota + period - 1) / period;

        n = cpus < 1 ? 1 : cpus < max ? (int)cpus : max;
    }
    fclose(file);
    return n;
}
#endif

int cpu_usable(void)
{
#ifdef __linux__
    cpu_set_t set;

    /* Fails where the mask is larger than cpu_set_t: many CPUs. */
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return cgroup_quota(CPU_COUNT(&set));
    }
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (int)n;
}

#ifdef __linux__
/* Whether set is what the calling thread has had all the time. */
static bool is_as_it_was(struct cpu_leave *leave, const cpu_set_t *set)
{
    int tid = (int)syscall(SYS_gettid);

    if (leave->tid != tid) {
        *leave = (struct cpu_leave){.tid = tid, .set = *set};
    }
    if (!CPU_EQUAL(&leave->set, set)) {
        leave->others = true;
    }
    return !leave->others;
}

/* A step of a move: from the one to the other, unless somebody else has come. */
static bool step(struct cpu_leave *leave, const cpu_set_t *from,
                 const cpu_set_t *to)
{
    cpu_set_t now;

    if (sched_getaffinity(0, sizeof(now), &now) < 0 || !CPU_EQUAL(&now, from)) {
        leave->others = true;
        return false;
    }
    return sched_setaffinity(0, sizeof(*to), to) == 0;
}

/* Its affinity, which nobody else decides. */
static bool get_set(struct cpu_leave *leave, int cpu, cpu_set_t *set)
{
    return cpu >= 0 && cpu < CPU_SETSIZE &&
           sched_getaffinity(0, sizeof(*set), set) == 0 &&
           is_as_it_was(leave, set);
}

/* The first step moves the thread at once, the second lets it be. */
static bool move(struct cpu_leave *leave, const cpu_set_t *set,
                 const cpu_set_t *to)
{
    return CPU_COUNT(to) > 0 && step(leave, set, to) && step(leave, to, set);
}

bool cpu_leave(struct cpu_leave *leave, int cpu)
{
    cpu_set_t set, others;

    if (!get_set(leave, cpu, &set)) {
        return false;
    }
    others = set;
    CPU_CLR(cpu, &others);
    return move(leave, &set, &others);
}

bool cpu_join(struct cpu_leave *leave, int cpu)
{
    cpu_set_t set, one;

    if (!get_set(leave, cpu, &set) || !CPU_ISSET(cpu, &set)) {
        return false;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return move(leave, &set, &one);
}
#else
bool cpu_leave(struct cpu_leave *leave, int cpu)
{
    (void)leave;
    (void)cpu;
    return false;
}

bool cpu_join(struct cpu_leave *leave, int cpu)
{
    return cpu_leave(leave, cpu);
}
#endif

bool cpu_yield(_Atomic int64_t *crowded_ns)
{
    int64_t begin_ns = clock_now_ns(), end_ns;

    if (begin_ns < atomic_load_explicit(crowded_ns, memory_order_relaxed)) {
        return false;
    }
    sched_yield();
    end_ns = clock_now_ns();
    if (end_ns - begin_ns > YIELD_MAX_NS) {
        /* Relaxed: another may yield once more. */
        atomic_store_explicit(crowded_ns, end_ns + CROWDED_NS,
                              memory_order_relaxed);
    }
    return true;
}

void cpu_pair_init(struct cpu_pair *pair)
{
    atomic_init(&pair->owner, -1);
    atomic_init(&pair->moves, 0);
    atomic_init(&pair->worker, -1);
    atomic_init(&pair->usable, (uint32_t)cpu_usable());
    atomic_init(&pair->blocks, false);
    atomic_init(&pair->abreast, UINT32_MAX);
    atomic_init(&pair->crowd, false);
    atomic_init(&pair->owner_waits, 0);
    atomic_init(&pair->worker_comes, 0);
    atomic_init(&pair->crowded_ns, 0);
    atomic_init(&pair->owner_lag_ns, 0);
    atomic_init(&pair->worker_lag_ns, 0);
    cpu_time_init(&pair->time);
}

void cpu_pair_look(struct cpu_pair *pair)
{
    /* Relaxed: a poll phase too many or too few. */
    atomic_store_explicit(&pair->usable, (uint32_t)cpu_usable(),
                          memory_order_relaxed);
}

void cpu_publish(_Atomic int *mine)
{
    int cpu = cpu_current();

    /* Written only where it changed: the partner reads the line in its spin. */
    if (atomic_load_explicit(mine, memory_order_relaxed) != cpu) {
        atomic_store_explicit(mine, cpu, memory_order_relaxed);
    }
}

void cpu_publish_lag(_Atomic int64_t *mine, int64_t lag_ns)
{
    if (atomic_load_explicit(mine, memory_order_relaxed) != lag_ns) {
        atomic_store_explicit(mine, lag_ns, memory_order_relaxed);
    }
}

void cpu_pair_inherit(struct cpu_pair *pair, int tid)
{
#ifdef __linux__
    cpu_set_t set;
    uint32_t seen;
    int ret;

    /* Seq_cst, as a move is. */
    do {
        while (
            (seen = atomic_load_explicit(&pair->moves, memory_order_seq_cst)) %
            2) {
            sched_yield();
        }
        ret = sched_getaffinity(tid, sizeof(set), &set);
    } while (atomic_load_explicit(&pair->moves, memory_order_seq_cst) != seen);
    /* Fails where the owner has ended, or has more CPUs than a set. */
    if (ret == 0) {
        sched_setaffinity(0, sizeof(set), &set);
    }
#else
    (void)pair;
    (void)tid;
#endif
}

void cpu_parting_init(struct cpu_parting *parting)
{
    parting->leave = (struct cpu_leave){.tid = 0};
    parting->meets = false;
    cpu_parting_done(parting);
}

void cpu_parting_done(struct cpu_parting *parting)
{
    parting->refused = 0;
    parting->refused_max = REFUSED_MIN;
}

bool cpu_parting_is_due(struct cpu_parting *parting, bool pays)
{
    if (++parting->refused < parting->refused_max || !pays ||
        parting->leave.others) {
        return false;
    }
    parting->refused = 0;
    if (parting->refused_max < REFUSED_MAX) {
        parting->refused_max *= 2;
    }
    return true;
}

/*
 * As a sequence lock: who reads the affinity between two looks that are even, and the
 * same, has not seen one of a move.  The worker may run on this CPU before the owner has
 * come to another: it shares it with nobody.
 */
static void move_owner(struct cpu_pair *pair, struct cpu_parting *parting,
                       bool (*to_or_from)(struct cpu_leave *, int), int cpu)
{
    atomic_fetch_add_explicit(&pair->moves, 1, memory_order_seq_cst);
    atomic_store_explicit(&pair->owner, CPU_MOVING, memory_order_relaxed);
    to_or_from(&parting->leave, cpu);
    cpu_publish(&pair->owner);
    atomic_fetch_add_explicit(&pair->moves, 1, memory_order_seq_cst);
}

void cpu_pair_part(struct cpu_pair *pair, struct cpu_parting *parting)
{
    move_owner(pair, parting, cpu_leave, cpu_current());
}

void cpu_parting_expect(struct cpu_parting *parting, bool blocks)
{
    parting->meets = blocks;
    if (!blocks) {
        parting->refused_max = REFUSED_MIN;
        parting->refused = REFUSED_MIN - 1;
    }
}

void cpu_pair_meet(struct cpu_pair *pair, struct cpu_parting *parting)
{
    int cpu = atomic_load_explicit(&pair->worker, memory_order_relaxed);

    if (parting->meets && !cpu_pair_is_single(pair) && cpu != cpu_current()) {
        move_owner(pair, parting, cpu_join, cpu);
    }
    parting->meets = false;
}

bool cpu_pair_is_shared(struct cpu_pair *pair)
{
    int owner = atomic_load_explicit(&pair->owner, memory_order_relaxed);

    if (cpu_pair_is_single(pair)) {
        return true;
    }
    return owner >= 0 &&
           owner == atomic_load_explicit(&pair->worker, memory_order_relaxed);
}

bool cpu_pair_worker_comes(struct cpu_pair *pair)
{
    /* Acquire: pairs with the release below, after its CPU was published. */
    return atomic_load_explicit(&pair->worker_comes, memory_order_acquire) != 0;
}

void cpu_pair_set_worker_comes(struct cpu_pair *pair, bool comes)
{
    /* Written only where it changes: the owner reads the line in its spin. */
    if (cpu_pair_worker_comes(pair) != comes) {
        atomic_store_explicit(&pair->worker_comes, comes, memory_order_release);
    }
}
