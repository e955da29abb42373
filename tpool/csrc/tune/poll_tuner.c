/* SPDX-License-Identifier: MIT
 *
 * See poll_tuner.h.
 */
#include "tune/poll_tuner.h"

/* Weight of the newest wake-up: 1/8. */
#define WAKE_SHIFT 3

static int64_t grow(const struct poll_params *params, int64_t poll_ns)
{
    int64_t factor = params->grow ? params->grow : 2;

    if (poll_ns == 0) {
        poll_ns = POLL_GROW_START_NS;
    } else if (poll_ns > params->max_ns / factor) {
        poll_ns = params->max_ns; /* the product may not fit an int64_t */
    } else {
        poll_ns *= factor;
    }
    return poll_ns < params->max_ns ? poll_ns : params->max_ns;
}

int64_t poll_tuner_next_ns(const struct poll_params *params, int64_t poll_ns,
                           int64_t block_ns, enum poll_verdict *verdict)
{
    int64_t next_ns = poll_ns;

    if (block_ns > params->max_ns) {
        next_ns = params->shrink ? poll_ns / params->shrink : 0;
    } else if (block_ns > poll_ns) {
        next_ns = grow(params, poll_ns);
    }
    *verdict = poll_verdict_of(poll_ns, next_ns);
    return next_ns;
}

int64_t poll_tuner_window_ns(const struct poll_params *params, int64_t poll_ns,
                             int64_t wake_ns)
{
    int64_t least_ns = wake_ns < params->max_ns ? wake_ns : params->max_ns;

    return poll_ns && poll_ns < least_ns ? least_ns : poll_ns;
}

int64_t poll_tuner_wait_ns(int64_t wait_ns, int64_t lag_ns, int64_t wake_ns)
{
    if (wake_ns && lag_ns > wake_ns) {
        lag_ns = wake_ns;
    }
    /* No time at all would be the sweet spot of no polling. */
    return wait_ns > lag_ns ? wait_ns - lag_ns : 1;
}

int64_t poll_tuner_wake_ns(int64_t wake_ns, int64_t lag_ns)
{
    return wake_ns ? wake_ns + ((lag_ns - wake_ns) >> WAKE_SHIFT) : lag_ns;
}
