/* SPDX-License-Identifier: MIT
 *
 * See poll_trial.h.
 */
#include "tune/poll_trial.h"
#include "tune/trial_compare.h"
#include "tune/trial_credit.h"
#include "tune/trial_moment.h"
#include "tune/trial_turns.h"

/* An epoch of the way that is taken. */
#define STEADY_CALLS 32
#define STEADY_NS    (5 * NS_PER_MS)
/* What is not looked at after a change: threads park, wake up and move. */
#define SETTLE_CALLS 4
#define SETTLE_NS    (100 * NS_PER_US)
/* An epoch of the other. */
#define TRY_CALLS 4
#define TRY_NS    (100 * NS_PER_US)
/* The longest one of what was taken before, to compare with. */
#define CHECK_MAX_NS (5 * NS_PER_MS)
/* After that threads may be apart, or together, as they were not before: until a call costs
 * about what it did, and not for longer, or it is another load. */
#define RETURN_NS     (1 * NS_PER_MS)
#define RETURN_MAX_NS (10 * NS_PER_MS)
/* For so many trials what lasts is taken to be of a trial. */
#define LASTED_TRIALS 8
/* So many halves of the cost, or of the calls in flight, or as little, is another load. */
#define CHANGED_COST   3
#define CHANGED_SURELY 4
#define CHANGED_FLIGHT 4
/* So many times worse while it settles is enough to know, and will be for long. */
#define HOPELESS 8
/* So many times worse with fewer at a time, and for so long, is enough, too: those that are
 * still run by many cost less, and if it was a moment there is another trial. */
#define WORSE    2
#define WORSE_NS (1 * NS_PER_MS)
/* Calls in flight that are waited for at a change; the rest is as they are. */
#define FLIGHT_MAX 32
/* Fewer, where they are run by as many as before. */
#define FLIGHT_POLL_MAX 8
/* More, if it takes not too long, where they may all be running, or are to. */
#define FLIGHT_FEW_MAX 128
/* What is owed for others; twice that where it may be noise.  Of more or fewer in flight
 * after the load has been alike for so long: else they come and go. */
#define DEBT_MAX_NS (1 * NS_PER_MS)
#define ALIKE_NS    (200 * NS_PER_MS)
/* Weight of the newest epoch: 1/8, and more while there were fewer. */
#define COST_EPOCHS 8

static uint32_t flight_max(const struct poll_trial *t)
{
    int64_t time_ns = t->time_ns[trial_other(t)];
    int64_t most = time_ns ? TRIAL_TRY_MAX_NS / time_ns : 0;

    if (t->bit == BIT_BLOCK) {
        return FLIGHT_POLL_MAX;
    }
    if (t->bit != BIT_FEW || most < FLIGHT_MAX) {
        return FLIGHT_MAX;
    }
    return most < FLIGHT_FEW_MAX ? (uint32_t)most : FLIGHT_FEW_MAX;
}

/* At least as many calls as are in flight, or most of those: they are older. */
static void begin(struct poll_trial *t, enum trial_stage stage, int64_t calls,
                  int64_t ns, uint32_t in_flight)
{
    uint32_t most = flight_max(t);

    t->stage = stage;
    t->wakes = false;
    t->calls_min = in_flight > most ? most : in_flight;
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

void poll_trial_init(struct poll_trial *t)
{
    *t = (struct poll_trial){.credit_ns = TRIAL_CREDIT_START_NS};
    trial_turns_all_soon(t);
    steady(t);
}

/* Calls have cost more than they would have by a way, since it was left for another. */
static void regret(struct poll_trial *t, const struct call_costs *costs,
                   unsigned way)
{
    trial_credit_pay(&t->credit_ns, costs, t->cost_ns[way], t->time_ns[way]);
}

static void change(struct poll_trial *t, enum trial_stage stage,
                   uint32_t in_flight)
{
    t->way = trial_other(t);
    t->tried = (struct call_costs){0};
    if (stage == TRIAL_SETTLES) {
        trial_moment_none(t, in_flight);
    }
    begin(t, stage, SETTLE_CALLS, SETTLE_NS, in_flight);
}

/* What calls cost, by the way that is taken. */
static void take_costs(struct poll_trial *t, const struct call_costs *costs)
{
    struct call_price price = call_costs_price(costs);

    t->cost_ns[t->way] = price.cost_ns;
    t->time_ns[t->way] = price.time_ns;
}

/* The same, where they cost something else than was known. */
static void begin_anew(struct poll_trial *t, const struct call_costs *costs)
{
    int64_t now_ns = call_costs_each_ns(costs), known_ns = t->cost_ns[t->way];

    if (trial_is_changed(now_ns, known_ns, CHANGED_COST)) {
        bool surely = trial_is_changed(now_ns, known_ns, CHANGED_SURELY);

        trial_credit_forgive(&t->credit_ns, DEBT_MAX_NS * (surely ? 1 : 2));
    }
    take_costs(t, costs);
    t->epochs = 1;
    trial_turns_all_soon(t);
}

/* What others cost was of another load. */
static void forget_others(struct poll_trial *t)
{
    for (unsigned way = 0; way < N_WAYS; way++) {
        if (way != t->way) {
            t->cost_ns[way] = t->time_ns[way] = 0;
        }
    }
}

/* Learns what the way costs; false: it is not what it was, and not known yet. */
static bool learn(struct poll_trial *t, const struct call_costs *epoch)
{
    int64_t *known = &t->cost_ns[t->way], *time = &t->time_ns[t->way];
    struct call_price now = call_costs_price(epoch);
    bool flight = trial_is_changed(epoch->in_flight, t->in_flight,
                                   CHANGED_FLIGHT);
    bool odd = flight || trial_is_changed(now.cost_ns, *known, CHANGED_COST);

    if (odd && *known && !t->odd) {
        t->odd = true; /* once may be a moment in which others computed */
        return false;
    }
    t->odd = false;
    t->alike_ns += epoch->ns;
    if (odd) {
        if (flight && t->alike_ns >= ALIKE_NS) {
            trial_credit_forgive(&t->credit_ns, DEBT_MAX_NS);
            forget_others(t);
        }
        t->alike_ns = 0;
        begin_anew(t, epoch);
        t->in_flight = epoch->in_flight;
        t->crowd = epoch->crowd;
    } else {
        t->epochs += t->epochs < COST_EPOCHS;
        *known += (now.cost_ns - *known) / t->epochs;
        *time += (now.time_ns - *time) / t->epochs;
    }
    return true;
}

static enum trial_verdict was_steady(struct poll_trial *t,
                                     const struct call_costs *epoch,
                                     uint32_t in_flight)
{
    bool known;

    trial_credit_earn(&t->credit_ns, epoch);
    if (!t->warm) { /* threads start, windows are learned: it says nothing */
        t->warm = true;
        return TRIAL_NONE;
    }
    known = learn(t, epoch);
    trial_turns_pass(t, epoch);
    if (!known || !trial_turns_choose(t, epoch)) {
        return TRIAL_NONE;
    }
    change(t, TRIAL_SETTLES, in_flight);
    return TRIAL_BEGUN;
}

static void turn_down(struct poll_trial *t)
{
    t->alone ^= 1u << t->bit;
    trial_turns_later(t);
}

static enum trial_verdict lost(struct poll_trial *t, uint32_t in_flight)
{
    take_costs(t, &t->tried);
    regret(t, &t->tried, trial_other(t));
    turn_down(t);
    change(t, TRIAL_RETURNS, in_flight);
    return TRIAL_LOST;
}

/* Whether a call costs about what it did before the trial. */
static bool came_back(struct poll_trial *t, const struct call_costs *epoch)
{
    bool back = call_costs_each_ns(epoch) <= TRIAL_ABOUT(t->cost_ns[t->way]);

    t->lasted -= back && t->lasted;
    return back;
}

/* The way is what it was before the trial; the epoch has calls of that in it. */
static void has_returned(struct poll_trial *t, const struct call_costs *epoch)
{
    regret(t, epoch, t->way);
    trial_turns_pass(t, epoch);
    if (came_back(t, epoch)) {
        steady(t);
    } else {
        begin(t, TRIAL_RECOVERS, STEADY_CALLS, RETURN_NS, 0);
    }
}

/* What calls have cost more since is the trial's. */
static void regret_aftermath(struct poll_trial *t)
{
    regret(t, &t->tried, t->way);
    if (t->lasted) { /* it may be the load, for all that */
        trial_credit_forgive(&t->credit_ns, RETURN_MAX_NS);
    }
}

/*
 * Until calls cost what they did, which is not counted while the interval is short: there
 * may be a better way to find.  If they do not, the trial was compared with what was no
 * more; unless that was so lately, for then it is trials that leave something for long.
 */
static void recovers(struct poll_trial *t, const struct call_costs *epoch)
{
    bool back = came_back(t, epoch);

    call_costs_add(&t->tried, epoch);
    trial_turns_pass(t, epoch);
    if (!back && t->tried.ns < RETURN_MAX_NS) {
        begin(t, TRIAL_RECOVERS, STEADY_CALLS, RETURN_NS, 0);
        return;
    }
    if (!back && !t->lasted) {
        begin_anew(t, &t->tried);
    } else if (!back || t->interval_ns[t->bit] >= TRIAL_INTERVAL_MAX_NS) {
        regret_aftermath(t);
    }
    if (!back) {
        t->lasted = LASTED_TRIALS;
    }
    steady(t);
}

/* Whether fewer are run at once than before the trial, and each is so much worse. */
static bool is_worse_for_fewer(const struct poll_trial *t,
                               const struct call_costs *epoch)
{
    return t->stage == TRIAL_SETTLES && epoch->ns >= WORSE_NS &&
           (t->flips & t->way & ~(1u << BIT_BLOCK)) &&
           !(trial_other(t) & 1u << BIT_SERIAL) &&
           call_costs_each_ns(epoch) / WORSE > t->cost_ns[trial_other(t)];
}

static enum trial_verdict has_settled(struct poll_trial *t,
                                      const struct call_costs *epoch,
                                      uint32_t in_flight)
{
    bool hopeless = call_costs_each_ns(epoch) / HOPELESS >
                    t->cost_ns[trial_other(t)];

    if (hopeless) {
        t->interval_ns[t->bit] = TRIAL_INTERVAL_MAX_NS;
    }
    if (hopeless || is_worse_for_fewer(t, epoch)) {
        t->tried = *epoch;
        return lost(t, in_flight);
    }
    regret(t, epoch, trial_other(t));
    try_on(t, in_flight);
    return TRIAL_NONE;
}

static enum trial_verdict was_tried(struct poll_trial *t,
                                    const struct call_costs *epoch,
                                    uint32_t in_flight)
{
    call_costs_add(&t->tried, epoch);
    switch (trial_compare(t->bit, trial_price(t, trial_other(t)), &t->tried)) {
    case TRIAL_UNCLEAR:
        try_on(t, in_flight);
        return TRIAL_NONE;
    case TRIAL_BETTER:
        t->found = t->tried;
        change(t, TRIAL_DOUBTED, in_flight);
        return TRIAL_DOUBTS;
    default:
        return lost(t, in_flight);
    }
}

/* Whether what was taken before is as dear as it was. */
static void check(struct poll_trial *t, uint32_t in_flight)
{
    int64_t ns = t->found.ns < CHECK_MAX_NS ? t->found.ns : CHECK_MAX_NS;

    begin(t, TRIAL_CHECKS, TRY_CALLS, ns, in_flight);
}

/* It was only the moment that was better: what is known is for others, too. */
static enum trial_verdict lost_after_all(struct poll_trial *t,
                                         struct call_price found,
                                         struct call_price now)
{
    unsigned other = trial_other(t);
    double times = (double)t->cost_ns[t->way] / (double)now.cost_ns;

    times = times < HOPELESS ? times : HOPELESS;
    t->cost_ns[other] = (int64_t)(times * (double)found.cost_ns);
    t->time_ns[other] = (int64_t)(times * (double)found.time_ns);
    turn_down(t);
    steady(t);
    return TRIAL_LOST;
}

static enum trial_verdict was_checked(struct poll_trial *t,
                                      const struct call_costs *epoch)
{
    struct call_price found = call_costs_price(&t->found);
    struct call_price now = call_costs_price(epoch);

    if (!trial_is_better(t->bit, found, now, 0)) {
        return lost_after_all(t, found, now);
    }
    take_costs(t, epoch);
    t->way = trial_other(t);
    take_costs(t, &t->found);
    t->epochs = 1;
    trial_turns_soon(t, t->bit);
    t->due_ns[t->bit] = t->interval_ns[t->bit];
    steady(t);
    return TRIAL_WON;
}

static bool is_doubted(const struct poll_trial *t)
{
    return t->stage == TRIAL_DOUBTED || t->stage == TRIAL_CHECKS;
}

bool poll_trial_drop(struct poll_trial *t)
{
    bool on = poll_trial_is_on(t), doubted = is_doubted(t);

    if (on) {
        regret(t, &t->tried, trial_other(t));
        if (t->tried.calls) {
            take_costs(t, &t->tried);
        }
        t->way = trial_other(t);
        trial_turns_later(t);
    } else if (doubted) {
        trial_turns_later(t);
    } else if (t->stage == TRIAL_RECOVERS && t->tried.calls) {
        regret_aftermath(t);
    }
    steady(t);
    return on || doubted;
}

/* Threads have slept meanwhile: what their first calls cost says nothing of a way. */
static void wake(struct poll_trial *t, uint32_t in_flight)
{
    begin(t, t->stage, SETTLE_CALLS, SETTLE_NS, in_flight);
    t->wakes = true;
}

static enum trial_verdict has_woken(struct poll_trial *t, uint32_t in_flight)
{
    if (poll_trial_is_on(t)) {
        try_on(t, in_flight);
    } else if (is_doubted(t)) {
        check(t, in_flight);
    } else {
        steady(t);
    }
    return TRIAL_NONE;
}

bool poll_trial_pause(struct poll_trial *t, int64_t ns, uint32_t in_flight)
{
    bool over = (t->pauses++ || !(poll_trial_is_on(t) || is_doubted(t))) &&
                poll_trial_drop(t);

    t->alike_ns += ns;
    wake(t, in_flight);
    return over;
}

enum trial_verdict poll_trial_next(struct poll_trial *t,
                                   const struct call_costs *epoch,
                                   uint32_t in_flight)
{
    t->crowd |= epoch->crowd;
    if (t->wakes) {
        return has_woken(t, in_flight);
    }
    t->pauses = 0;
    if (t->stage != TRIAL_STEADY && !is_worse_for_fewer(t, epoch) &&
        trial_says_nothing(t, epoch, t->cost_ns[poll_trial_kept(t)])) {
        return TRIAL_NONE;
    }
    switch (t->stage) {
    case TRIAL_SETTLES:
        return has_settled(t, epoch, in_flight);
    case TRIAL_TRIES:
        return was_tried(t, epoch, in_flight);
    case TRIAL_DOUBTED:
        check(t, in_flight);
        return TRIAL_NONE;
    case TRIAL_CHECKS:
        return was_checked(t, epoch);
    case TRIAL_RETURNS:
        has_returned(t, epoch);
        return TRIAL_NONE;
    case TRIAL_RECOVERS:
        recovers(t, epoch);
        return TRIAL_NONE;
    default:
        return was_steady(t, epoch, in_flight);
    }
}
