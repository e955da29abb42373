/* SPDX-License-Identifier: MIT
 *
 * See call_trial.h.
 */
#include "aio/call_trial.h"
#include "aio/handoff.h"

/* Who waits has a life of its own where calls are in flight this part of the time. */
#define SPARSE 4
/* Where none was for so long an epoch begins anew, and where it lasts so long. */
#define PAUSE_NS NS_PER_MS
#define STALE_NS NS_PER_SECOND
/* So often without one that could end between: nothing can be measured. */
#define PAUSES_MAX 8

static uint32_t in_flight(struct aio_core *core)
{
    return atomic_load_explicit(&core->in_flight, memory_order_relaxed);
}

static int64_t done(struct aio_core *core)
{
    return (int64_t)counter_get(&core->done);
}

/* What the clocks say, of which reading takes a while. */
static struct call_spent read_spent(struct call_trial *t, int64_t polled_ns)
{
    struct call_spent spent = {.polled_ns = polled_ns};

    /* First: with a timer of CPU time the other may not bring it up to date. */
    spent.own_cpu_ns = clock_thread_cpu_ns();
    spent.cpu_ns = cpu_time_of_process_ns(&t->core->cpus.time);
    return spent;
}

static void begin_epoch(struct call_trial *t, int64_t now_ns,
                        const struct call_spent *spent)
{
    t->begin_ns = t->until_ns = now_ns;
    t->own = pthread_self();
    t->spent = *spent;
    t->done = done(t->core);
    t->flown_ns = 0;
    t->in_flight = 0;
}

/* What calls have cost since the epoch began. */
static struct call_costs get_costs(const struct call_trial *t, int64_t now_ns,
                                   const struct call_spent *spent)
{
    const struct call_spent *old = &t->spent;
    struct call_costs costs = {
        .calls = done(t->core) - t->done,
        .ns = now_ns - t->begin_ns,
        .cpu_ns = spent->cpu_ns - old->cpu_ns,
        .in_flight = t->in_flight,
        .crowd = cpu_pair_take_crowd(&t->core->cpus),
    };

    if (old->polled_ns >= 0 && spent->polled_ns >= 0 &&
        pthread_equal(t->own, pthread_self())) {
        if (costs.ns / SPARSE > t->flown_ns) {
            /* What is done between calls would be more than they cost. */
            costs.cpu_ns += spent->polled_ns - old->polled_ns -
                            (spent->own_cpu_ns - old->own_cpu_ns);
        }
        costs.ns = t->flown_ns;
    }
    if (costs.cpu_ns < 0) {
        costs.cpu_ns = 0; /* a child's begins anew */
    }
    return costs;
}

static void tell(const struct call_trial *t, int bit, bool set, int64_t cost_ns)
{
    static const enum trace_kind told[][2] = {
        {TRACE_POLL_PAYS, TRACE_POLL_COSTS},
        {TRACE_SERIAL_COSTS, TRACE_SERIAL_PAYS},
        {TRACE_FEW_COSTS, TRACE_FEW_PAYS},
    };

    trace_emit(t->core->trace, told[bit][set], t->name, cost_ns);
}

/* How many calls are run at once by the way that is taken. */
static uint32_t abreast(const struct call_trial *ct)
{
    unsigned way = ct->trial.way;

    return way >> BIT_SERIAL & 1 ? 1
           : way >> BIT_FEW & 1  ? cpu_pair_few(&ct->core->cpus)
                                 : UINT32_MAX;
}

/* A trial has begun, or is over: another way is taken. */
static void take_way(const struct call_trial *ct, enum trial_verdict verdict)
{
    static const enum trace_kind begun[] = {
        TRACE_POLL_TRIAL, TRACE_SERIAL_TRIAL, TRACE_FEW_TRIAL};
    const struct poll_trial *t = &ct->trial;
    struct aio_core *core = ct->core;

    if (t->flips >> BIT_BLOCK & 1) {
        cpu_pair_set_blocks(&core->cpus, t->way >> BIT_BLOCK & 1);
        aio_handoff_forget(core);
    }
    cpu_pair_set_abreast(&core->cpus, abreast(ct));
    if (verdict == TRIAL_BEGUN) {
        trace_emit(core->trace, begun[t->bit], ct->name,
                   t->cost_ns[poll_trial_kept(t)]);
        return;
    }
    if (verdict == TRIAL_DOUBTS) {
        trace_emit(core->trace, TRACE_TRIAL_DOUBTED, ct->name,
                   call_costs_each_ns(&t->found));
        return;
    }
    for (int bit = 0; bit < N_BITS; bit++) {
        /* What was tried together is as it was, if it has not won. */
        if (bit == t->bit || (verdict == TRIAL_WON && t->flips >> bit & 1)) {
            tell(ct, bit, t->way >> bit & 1, t->cost_ns[t->way]);
        }
    }
}

void call_trial_init(struct call_trial *t, struct aio_core *core,
                     const void *name)
{
    *t = (struct call_trial){.core = core, .name = name};
    call_trial_reset(t);
}

void call_trial_reset(struct call_trial *t)
{
    unsigned changed = t->trial.way;

    if (poll_trial_drop(&t->trial)) {
        changed |= t->trial.flips;
    }
    for (int bit = 0; bit < N_BITS; bit++) {
        if (changed >> bit & 1) {
            tell(t, bit, false, t->trial.cost_ns[0]);
        }
    }
    poll_trial_init(&t->trial);
    cpu_pair_set_blocks(&t->core->cpus, false);
    cpu_pair_set_abreast(&t->core->cpus, UINT32_MAX);
    t->anew = true; /* by who has it, who alone knows its clock */
}

/* What was done meanwhile is not known. */
static enum trial_verdict interrupt(struct call_trial *t, int64_t now_ns,
                                    int64_t polled_ns, int64_t pause_ns,
                                    uint32_t old_calls)
{
    struct call_spent spent = read_spent(t, polled_ns);
    enum trial_verdict verdict = TRIAL_NONE;

    if (poll_trial_pause(&t->trial, pause_ns, old_calls)) {
        verdict = TRIAL_LOST;
        take_way(t, verdict);
    } else if (t->trial.pauses > PAUSES_MAX && t->trial.way) {
        verdict = TRIAL_LOST;
        call_trial_reset(t);
        t->anew = false; /* it is, now */
    }
    begin_epoch(t, now_ns, &spent);
    return verdict;
}

enum trial_verdict call_trial_look_back(struct call_trial *t, int64_t now_ns,
                                        int64_t polled_ns)
{
    int64_t flight_ns = atomic_load_explicit(&t->core->flight_ns,
                                             memory_order_relaxed);

    if (t->anew) {
        struct call_spent spent = read_spent(t, polled_ns);

        t->anew = false;
        begin_epoch(t, now_ns, &spent);
    } else if (flight_ns > t->until_ns + PAUSE_NS) {
        return interrupt(t, now_ns, polled_ns, flight_ns - t->until_ns, 0);
    } else if (now_ns - t->begin_ns > STALE_NS) {
        return interrupt(t, now_ns, polled_ns, 0, in_flight(t->core));
    }
    return TRIAL_NONE;
}

/* Counts how long some were in flight, to now, and how many. */
static void count_flight(struct call_trial *t, int64_t now_ns)
{
    int64_t from_ns = atomic_load_explicit(&t->core->flight_ns,
                                           memory_order_relaxed);
    uint32_t now = in_flight(t->core);

    if (t->in_flight < now) {
        t->in_flight = now;
    }
    if (now_ns > from_ns) {
        /* Or some were in flight all the time. */
        t->flown_ns += now_ns - (from_ns > t->until_ns ? from_ns : t->until_ns);
    }
    t->until_ns = now_ns;
}

enum trial_verdict call_trial_judge(struct call_trial *t, int64_t now_ns,
                                    int64_t polled_ns)
{
    struct call_spent spent;
    struct call_costs epoch;
    enum trial_verdict verdict;

    if (t->anew || now_ns < t->until_ns) {
        return TRIAL_NONE; /* or a nested wait has counted it */
    }
    count_flight(t, now_ns);
    if (!poll_trial_is_due(&t->trial, done(t->core) - t->done, t->flown_ns)) {
        return TRIAL_NONE;
    }
    spent = read_spent(t, polled_ns);
    epoch = get_costs(t, now_ns, &spent);
    verdict = poll_trial_next(&t->trial, &epoch, in_flight(t->core));
    if (verdict != TRIAL_NONE) {
        take_way(t, verdict);
    }
    begin_epoch(t, now_ns, &spent);
    return verdict;
}
