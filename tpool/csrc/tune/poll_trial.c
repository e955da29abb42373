/* SPDX-License-Identifier: MIT
 *
 * See poll_trial.h.
 */
#include "tune/poll_trial.h"

/* An epoch of the way that is taken. */
#define STEADY_CALLS 32
#define STEADY_NS    (5 * NS_PER_MS)
/* What is not looked at after a change: threads park, wake up and move. */
#define SETTLE_CALLS 4
#define SETTLE_NS    (100 * NS_PER_US)
/* An epoch of the other; how many of them at most, and how long: loads change. */
#define TRY_CALLS  16
#define TRY_NS     (500 * NS_PER_US)
#define TRY_EPOCHS 8
#define TRY_MAX_NS (50 * NS_PER_MS)
/* By what part it must be worse, or better at last: less is noise after so many. */
#define CLEARLY(epochs) (4 * (epochs))
/* A cost so many times higher, or lower, is of another load, or another machine. */
#define CHANGED 2
/* Calls in flight that are waited for at a change; the rest is as they are. */
#define FLIGHT_MAX 32
/* Of all costs, what trying may cost, and what it may cost at once. */
#define CREDIT        50
#define CREDIT_MAX_NS (2 * NS_PER_MS)
#define DEBT_MAX_NS   (1 * NS_PER_MS)
/* Calls that cost so many times more are of a machine that stood still. */
#define STOOD_STILL 64
/* Between two trials; twice as long each time that one is lost. */
#define INTERVAL_MIN_NS (8 * NS_PER_MS)
#define INTERVAL_MAX_NS (64 * NS_PER_MS)
/* Weight of the newest epoch: 1/8. */
#define COST_SHIFT 3

static int64_t total_ns(const struct call_costs *costs)
{
    return costs->ns + costs->cpu_ns;
}

static enum poll_way other(enum poll_way way)
{
    return way == WAY_POLL ? WAY_BLOCK : WAY_POLL;
}

/* At least as many calls as are in flight: those are of the epoch before. */
static void begin(struct poll_trial *t, enum trial_stage stage, int64_t calls,
                  int64_t ns, uint32_t in_flight)
{
    t->stage = stage;
    t->calls_min = in_flight > FLIGHT_MAX ? FLIGHT_MAX : in_flight;
    t->calls_min = t->calls_min > calls ? t->calls_min : calls;
    t->ns_min = ns;
}

static void steady(struct poll_trial *t)
{
    begin(t, TRIAL_STEADY, STEADY_CALLS, STEADY_NS, 0);
}

static void try_on(struct poll_trial *t, uint32_t in_flight)
{
    begin(t, TRIAL_TRIES, TRY_CALLS, TRY_NS, in_flight);
}

static void retry_soon(struct poll_trial *t)
{
    t->interval_ns = INTERVAL_MIN_NS;
    t->due_ns = 0;
}

void poll_trial_init(struct poll_trial *t)
{
    *t = (struct poll_trial){.way = WAY_POLL};
    retry_soon(t);
    steady(t);
}

/* Calls have cost more than they would have by a way, since it was left for another. */
static void regret(struct poll_trial *t, const struct call_costs *costs,
                   enum poll_way way)
{
    int64_t would_ns = costs->calls * t->cost_ns[way], ns = total_ns(costs);

    t->credit_ns -= (ns / STOOD_STILL < would_ns ? ns : 0) - would_ns;
    if (t->credit_ns > CREDIT_MAX_NS) {
        t->credit_ns = CREDIT_MAX_NS;
    }
}

static void change(struct poll_trial *t, enum trial_stage stage,
                   uint32_t in_flight)
{
    t->way = other(t->way);
    begin(t, stage, SETTLE_CALLS, SETTLE_NS, in_flight);
}

/* Learns what the way costs; false: it is not what it was, and not known yet. */
static bool learn(struct poll_trial *t, int64_t cost_ns)
{
    int64_t *known = &t->cost_ns[t->way];
    bool odd = cost_ns / CHANGED > *known || *known / CHANGED > cost_ns;

    if (odd && *known && !t->odd) {
        t->odd = true; /* once may be a moment in which others computed */
        return false;
    }
    t->odd = false;
    if (!odd) {
        *known += (cost_ns - *known) >> COST_SHIFT;
        return true;
    }
    *known = cost_ns;
    retry_soon(t);
    if (t->credit_ns < -DEBT_MAX_NS) {
        t->credit_ns = -DEBT_MAX_NS; /* what is left was for other calls */
    }
    return true;
}

static enum trial_verdict was_steady(struct poll_trial *t,
                                     const struct call_costs *epoch,
                                     uint32_t in_flight)
{
    bool known = learn(t, total_ns(epoch) / epoch->calls);

    t->credit_ns += total_ns(epoch) / CREDIT;
    if (t->credit_ns > CREDIT_MAX_NS) {
        t->credit_ns = CREDIT_MAX_NS;
    }
    t->due_ns -= epoch->ns;
    if (!known || t->due_ns > 0 || t->credit_ns <= 0) {
        return TRIAL_NONE;
    }
    change(t, TRIAL_SETTLES, in_flight);
    return TRIAL_BEGUN;
}

static enum trial_verdict was_tried(struct poll_trial *t,
                                    const struct call_costs *epoch,
                                    uint32_t in_flight)
{
    int64_t known_ns = t->cost_ns[other(t->way)], cost_ns;
    int64_t noise_ns = known_ns / CLEARLY(++t->epochs);

    t->tried.calls += epoch->calls;
    t->tried.ns += epoch->ns;
    t->tried.cpu_ns += epoch->cpu_ns;
    cost_ns = total_ns(&t->tried) / t->tried.calls;
    if (t->epochs < TRY_EPOCHS && t->tried.ns < TRY_MAX_NS &&
        cost_ns < known_ns + noise_ns) {
        try_on(t, in_flight);
        return TRIAL_NONE;
    }
    if (cost_ns < known_ns - noise_ns) {
        t->cost_ns[t->way] = cost_ns;
        retry_soon(t);
        t->due_ns = t->interval_ns;
        steady(t);
        return TRIAL_WON;
    }
    t->cost_ns[t->way] = cost_ns;
    regret(t, &t->tried, other(t->way));
    t->due_ns = t->interval_ns;
    if (t->interval_ns < INTERVAL_MAX_NS) {
        t->interval_ns *= 2;
    }
    change(t, TRIAL_RETURNS, in_flight);
    return TRIAL_LOST;
}

enum trial_verdict poll_trial_next(struct poll_trial *t,
                                   const struct call_costs *epoch,
                                   uint32_t in_flight)
{
    switch (t->stage) {
    case TRIAL_SETTLES:
        regret(t, epoch, other(t->way));
        t->tried = (struct call_costs){0};
        t->epochs = 0;
        try_on(t, in_flight);
        return TRIAL_NONE;
    case TRIAL_TRIES:
        return was_tried(t, epoch, in_flight);
    case TRIAL_RETURNS:
        regret(t, epoch, t->way);
        steady(t);
        return TRIAL_NONE;
    default:
        return was_steady(t, epoch, in_flight);
    }
}
