/* SPDX-License-Identifier: MIT
 *
 * See trial_moment.h.
 */
#include "tune/trial_moment.h"

/* So many times worse, and for so long, may be a moment in which a host ran others. */
#define MOMENT    4
#define MOMENT_NS (1 * NS_PER_MS)
/* So many epochs with fewer than half as many in flight may be the end of a burst. */
#define THIN_MAX 4
/* Of so few it may be by chance how many are seen. */
#define FULL_MIN 8

static bool is_moment(struct poll_trial *t, const struct call_costs *epoch,
                      int64_t known_ns)
{
    if (t->moment || epoch->ns < MOMENT_NS ||
        call_costs_each_ns(epoch) / MOMENT <= known_ns) {
        return false;
    }
    t->moment = true;
    return true;
}

static bool is_thin(struct poll_trial *t, const struct call_costs *epoch)
{
    if (t->full < FULL_MIN || 2 * epoch->in_flight >= t->full ||
        t->thin == THIN_MAX) {
        return false;
    }
    t->thin++;
    return true;
}

bool trial_says_nothing(struct poll_trial *t, const struct call_costs *epoch,
                        int64_t known_ns)
{
    return is_moment(t, epoch, known_ns) || is_thin(t, epoch);
}
