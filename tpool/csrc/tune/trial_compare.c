/* SPDX-License-Identifier: MIT
 *
 * See trial_compare.h.
 */
#include "tune/trial_compare.h"

/* After so many calls, and so long, it is a draw. */
#define DRAW_CALLS 256
#define DRAW_NS    (1 * NS_PER_MS)
/* Noise: of so many calls one more or less; and so long somebody else may have run. */
#define NOISE_CALLS 4
#define NOISE_NS    (20 * NS_PER_US)

bool trial_is_better(int bit, struct call_price one, struct call_price other,
                     int64_t noise_ns)
{
    return trial_worth_ns(bit, one) < trial_worth_ns(bit, other) - noise_ns &&
           call_price_worth_ns(one) <= TRIAL_ABOUT(call_price_worth_ns(other));
}

/* By what it must be worse, or better at last, than what was known. */
static int64_t noise_ns(int64_t known_ns, const struct call_costs *tried)
{
    return NOISE_CALLS * known_ns / tried->calls +
           known_ns * NOISE_NS / (tried->ns + 1);
}

enum trial_answer trial_compare(int bit, struct call_price known,
                                const struct call_costs *tried)
{
    struct call_price now = call_costs_price(tried);
    int64_t known_ns = trial_worth_ns(bit, known);
    int64_t noise = noise_ns(known_ns, tried);
    /* What it saves in computing it takes in time: nobody waits to see which is more. */
    bool slower = now.cost_ns >= known.cost_ns &&
                  now.time_ns > known.time_ns + noise_ns(known.time_ns, tried);
    bool draw = (tried->calls >= DRAW_CALLS && tried->ns >= DRAW_NS) ||
                tried->ns >= TRIAL_TRY_MAX_NS;

    if (!draw && !slower && trial_worth_ns(bit, now) < known_ns + noise) {
        return TRIAL_UNCLEAR;
    }
    return trial_is_better(bit, now, known, noise) ? TRIAL_BETTER : TRIAL_WORSE;
}
