/* SPDX-License-Identifier: MIT
 *
 * See handoff.h.
 */
#include "aio/handoff.h"
#include "base/os_thread.h"

/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16
/* By how much a sleep is too long, about; one that is no longer than that is none. */
#define NAP_LATE_NS 40000
/* A longer one is slept through by halves: what it is for may come before its time. */
#define NAP_WHOLE_NS 200000
/*
 * Bottom halves that may wait for the owner before who posts more lets it catch up.
 * More of them cost memory, and timers and fds the time that they all take; fewer
 * cost a poster its pace.
 */
#define FLOOD 1024
/* An owner that runs none for so long may need what the poster holds. */
#define FLOOD_WAIT_NS (10 * NS_PER_MS)
/* Between two looks, when it takes longer than a hand-over. */
#define FLOOD_NAP_NS 50000

/* Posts that do not wait for an owner that was vainly waited for so often: 2^n - 1. */
#define VAIN_MAX 8

/* Looks at flags for a while: whether any of mask is set, or none, as wanted. */
static bool spin_until(_Atomic uint32_t *flags, uint32_t mask, bool want,
                       int64_t deadline_ns)
{
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            uint32_t now = atomic_load_explicit(flags, memory_order_relaxed);

            if (!(now & mask) == !want) {
                return true;
            }
            cpu_relax();
        }
    } while (clock_now_ns() < deadline_ns);
    return false;
}

void aio_handoff_from_worker(struct aio_core *core)
{
    int64_t end_ns, left_ns;

    if (!atomic_load_explicit(&core->batching, memory_order_relaxed) ||
        cpu_pair_is_shared(&core->cpus)) {
        return;
    }
    end_ns = atomic_load_explicit(&core->batch_end_ns, memory_order_relaxed);
    while ((left_ns = end_ns - clock_now_ns()) > 2 * NAP_LATE_NS) {
        int64_t part_ns = left_ns / 2 > NAP_WHOLE_NS ? left_ns / 2
                                                     : NAP_WHOLE_NS;

        os_thread_nap((left_ns < part_ns ? left_ns : part_ns) - NAP_LATE_NS);
        if (!atomic_load_explicit(&core->batching, memory_order_relaxed)) {
            return;
        }
    }
    if (left_ns > -HANDOFF_NS) { /* or one of its calls lasts: once is enough */
        spin_until(&core->batching, UINT32_MAX, false, end_ns + HANDOFF_NS);
    }
}

void aio_batch_begin(struct aio_core *core, int64_t left_ns)
{
    /* Relaxed: hints that keep the owner from asking for the GIL. */
    atomic_store_explicit(&core->batch_end_ns, clock_now_ns() + left_ns,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&core->batching, 1, memory_order_relaxed);
}

void aio_batch_end(struct aio_core *core)
{
    /* Another one may go on: not for long, if it has said nothing since. */
    atomic_store_explicit(&core->batch_end_ns, clock_now_ns(),
                          memory_order_relaxed);
    atomic_fetch_sub_explicit(&core->batching, 1, memory_order_relaxed);
}

bool aio_handoff_from_owner(struct aio_core *core)
{
    uint32_t in_flight, seen;
    int64_t now_ns, end_ns;

    if (aio_owner_waits(core) || cpu_pair_is_shared(&core->cpus)) {
        return false;
    }
    now_ns = clock_now_ns();
    end_ns = now_ns + HANDOFF_MAX_NS;
    in_flight = atomic_load_explicit(&core->in_flight, memory_order_relaxed);
    do {
        seen = in_flight;
        if (spin_until(&core->cpus.owner_waits, OWNER_WAITS | OWNER_YIELDS,
                       true, now_ns + HANDOFF_NS)) {
            return atomic_load_explicit(&core->cpus.owner_waits,
                                        memory_order_relaxed) == OWNER_YIELDS;
        }
        now_ns = clock_now_ns();
        in_flight = atomic_load_explicit(&core->in_flight,
                                         memory_order_relaxed);
        /* Still submitting: it has more to say before it waits. */
    } while (in_flight != seen && now_ns < end_ns);
    return false;
}

bool aio_owner_polls(struct aio_core *core)
{
    return aio_owner_waits(core) &&
           !(atomic_load_explicit(&core->notify.state, memory_order_relaxed) &
             NOTIFY_BLOCKED);
}

bool aio_handoff_is_due(struct aio_core *core)
{
    uint32_t skips = atomic_load_explicit(&core->back_skips,
                                          memory_order_relaxed);

    if (skips) {
        atomic_store_explicit(&core->back_skips, skips - 1,
                              memory_order_relaxed);
    }
    return !skips;
}

static void set_vain(struct aio_core *core, uint32_t vain)
{
    atomic_store_explicit(&core->backs_vain, vain, memory_order_relaxed);
    atomic_store_explicit(&core->back_skips, (1u << vain) - 1,
                          memory_order_relaxed);
}

void aio_handoff_learn(struct aio_core *core, bool came)
{
    uint32_t vain = atomic_load_explicit(&core->backs_vain,
                                         memory_order_relaxed);

    set_vain(core, came ? 0 : vain < VAIN_MAX ? vain + 1 : vain);
}

void aio_handoff_forget(struct aio_core *core)
{
    set_vain(core, 0);
}

void aio_handoff_to_owner(struct aio_core *core)
{
    _Atomic uint32_t *waits = &core->cpus.owner_waits;
    int64_t now_ns = clock_now_ns();

    if (spin_until(waits, OWNER_WAITS | OWNER_YIELDS, false,
                   now_ns + HANDOFF_TAKE_NS) &&
        aio_handoff_is_due(core)) {
        /* Not one that only lets go for a moment: it would have to sleep. */
        aio_handoff_learn(core, spin_until(waits, OWNER_WAITS, true,
                                           now_ns + HANDOFF_BACK_NS));
    }
}

/* Relaxed, both: a figure, of which each poster has seen its own part. */
bool aio_count_post(struct aio_core *core)
{
    uint64_t n = atomic_fetch_add_explicit(&core->posted, 1,
                                           memory_order_relaxed) +
                 1;

    return n % FLOOD == 0 && n - counter_get(&core->posts_run) >= FLOOD;
}

void aio_wait_for_owner(struct aio_core *core)
{
    uint64_t all = atomic_load_explicit(&core->posted, memory_order_relaxed);
    uint64_t run, seen = all;
    int64_t now_ns = clock_now_ns();
    int64_t spin_ns = now_ns + HANDOFF_NS, end_ns = now_ns;

    while ((run = counter_get(&core->posts_run)) < all) {
        if (run != seen) {
            seen = run;
            end_ns = now_ns + FLOOD_WAIT_NS;
        } else if (now_ns >= end_ns) {
            break;
        }
        if (now_ns < spin_ns) {
            cpu_relax();
        } else {
            os_thread_nap(FLOOD_NAP_NS);
        }
        now_ns = clock_now_ns();
    }
}
