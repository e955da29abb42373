/* SPDX-License-Identifier: MIT
 *
 * See trial_turns.h.
 */
#include "tune/trial_turns.h"
#include "tune/trial_compare.h"

/* Between two trials; twice as long each time that one is lost. */
#define INTERVAL_MIN_NS (8 * NS_PER_MS)

void trial_turns_soon(struct poll_trial *t, int bit)
{
    t->interval_ns[bit] = INTERVAL_MIN_NS;
    /* As if it had waited already: this changes more than one at a time does. */
    t->due_ns[bit] = bit == BIT_SERIAL ? 0 : -INTERVAL_MIN_NS;
}

void trial_turns_all_soon(struct poll_trial *t)
{
    for (int bit = 0; bit < N_BITS; bit++) {
        int64_t due_ns = t->due_ns[bit];

        trial_turns_soon(t, bit);
        if (due_ns < t->due_ns[bit]) {
            t->due_ns[bit] = due_ns;
        }
    }
}

void trial_turns_later(struct poll_trial *t)
{
    t->due_ns[t->bit] = t->interval_ns[t->bit];
    if (t->interval_ns[t->bit] < TRIAL_INTERVAL_MAX_NS) {
        t->interval_ns[t->bit] *= 2;
    }
}

/* What the other way of one is; 0: it cannot pay, or is none of its own. */
static unsigned flips(const struct poll_trial *t, int bit,
                      const struct call_costs *epoch)
{
    unsigned serial = 1u << BIT_SERIAL, few = 1u << BIT_FEW;
    /* One at a time may be slept through, which counts as polling: with that it begins, every
     * other time.  As often it is left, as a few are, for what others do: many, and nobody
     * polls. */
    unsigned block = ~t->alone >> bit & 1 ? 1u << BIT_BLOCK : 0;
    unsigned to_poll = t->way & block, to_block = ~t->way & block;
    /* Calls that mostly sleep do not; one that is alone cannot. */
    bool fight = epoch->cpu_ns > epoch->ns / 4 * 3;

    switch (bit) {
    case BIT_SERIAL:
        if (t->way & serial) { /* if they sleep now, many may be far better */
            return fight ? serial | to_block : t->way & (serial | few);
        }
        return fight && epoch->in_flight > 1 ? serial | to_poll : 0;
    case BIT_FEW:
        if (t->way & few) {
            return t->way & serial ? 0 : few | to_block;
        }
        if (!t->crowd) {
            return 0; /* many are a few */
        }
        /* One at a time or a few: else one that is better than many hides them. */
        return t->way & serial ? serial | few : fight ? few : 0;
    default:
        return 1u << bit;
    }
}

void trial_turns_pass(struct poll_trial *t, const struct call_costs *epoch)
{
    for (int bit = 0; bit < N_BITS; bit++) {
        if (t->due_ns[bit] > 0 || flips(t, bit, epoch)) {
            t->due_ns[bit] -= epoch->ns;
        }
    }
}

/* A way that is known to cost clearly less than the one that is taken costs by now. */
static bool seems_better(const struct poll_trial *t, int bit, unsigned way)
{
    struct call_price known = trial_price(t, way);

    return known.cost_ns && trial_is_better(bit, known, trial_price(t, t->way),
                                            trial_worth_ns(bit, known) / 8);
}

/* What is not known may be worth any debt. */
static bool is_due(const struct poll_trial *t, int bit, unsigned way)
{
    return seems_better(t, bit, way) ||
           (t->due_ns[bit] <= 0 && (t->credit_ns >= 0 || !t->cost_ns[way]));
}

bool trial_turns_choose(struct poll_trial *t, const struct call_costs *epoch)
{
    /* Of two that have waited as long: first to what others do, many and nobody polls. */
    static const int order[N_BITS] = {BIT_BLOCK, BIT_FEW, BIT_SERIAL};
    int64_t due_ns = INT64_MAX;

    for (int i = 0; i < N_BITS; i++) {
        unsigned changed = flips(t, order[i], epoch);

        if (changed && is_due(t, order[i], t->way ^ changed) &&
            t->due_ns[order[i]] < due_ns) {
            due_ns = t->due_ns[order[i]];
            t->bit = order[i];
            t->flips = changed;
        }
    }
    return due_ns < INT64_MAX;
}
