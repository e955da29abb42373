/* SPDX-License-Identifier: MIT
 *
 * See wait_tuning.h.
 */
#include "queue/wait_tuning.h"
#include "tune/wait_plan.h"

/* One in so many waits for a partner that takes longer to wake than the window is lasts
 * until that is awake: from then on both poll.  No longer than so many may poll. */
#define LATE_WAITS 8

void wait_tuning_init(struct wait_tuning *t, int64_t poll_max_ns)
{
    *t = (struct wait_tuning){.params = {.max_ns = poll_max_ns}};
    poll_window_init(&t->window, 0);
    cpu_parting_init(&t->parting);
}

/* By how much the window is longer than what was learned. */
static int64_t late_ns(struct wait_tuning *t, int64_t window_ns)
{
    int64_t most_ns = t->params.max_ns < POLL_AWAKE_MAX_NS / LATE_WAITS
                          ? LATE_WAITS * t->params.max_ns
                          : POLL_AWAKE_MAX_NS;

    if (!window_ns || t->lag_ns <= window_ns || ++t->late < LATE_WAITS) {
        return 0;
    }
    t->late = 0;
    return poll_tuner_awake_ns(t->lag_ns, most_ns);
}

int64_t wait_tuning_window_ns(struct wait_tuning *t)
{
    int64_t window_ns = 0;

    if (t->params.max_ns > 0) {
        window_ns = poll_window_next_ns(&t->window, &t->params, t->wake_ns);
    }
    return window_ns && poll_window_is_to_measure(&t->params, t->waited_ns,
                                                  &t->unmeasured)
               ? 0
               : wait_plan_late_ns(window_ns, late_ns(t, window_ns));
}

void wait_tuning_part(struct wait_tuning *t, bool shared, int64_t lag_ns)
{
    if (!shared) {
        cpu_parting_done(&t->parting);
    } else if (cpu_parting_is_due(
                   &t->parting,
                   lag_ns && poll_history_window_ns(&t->window.history,
                                                    t->params.max_ns, 0) > 0)) {
        cpu_leave(&t->parting.leave, cpu_current());
    }
}

void wait_tuning_learn(struct wait_tuning *t, int64_t wait_ns,
                       int64_t own_lag_ns, int64_t lag_ns)
{
    if (own_lag_ns) {
        t->wake_ns = poll_tuner_wake_ns(t->wake_ns, own_lag_ns);
        t->unmeasured = 0;
    }
    t->waited_ns = wait_ns;
    t->lag_ns = lag_ns;
    poll_window_tune(&t->window, &t->params,
                     poll_tuner_wait_ns(wait_ns, lag_ns, t->wake_ns));
}
