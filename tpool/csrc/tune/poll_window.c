/* SPDX-License-Identifier: MIT
 *
 * See poll_window.h.
 */
#include "tune/poll_window.h"

void poll_window_init(struct poll_window *s, int64_t poll_ns)
{
    *s = (struct poll_window){.poll_ns = poll_ns};
}

static bool learns(const struct poll_window *s,
                   const struct poll_params *params)
{
    return !poll_slopes_are_set(params) && s->history.waits >= POLL_HISTORY_MIN;
}

int64_t poll_window_next_ns(struct poll_window *s,
                            const struct poll_params *params, int64_t wake_ns)
{
    s->retried = false;
    s->wake_ns = wake_ns;
    if (!learns(s, params)) {
        return poll_tuner_window_ns(params, s->poll_ns, wake_ns);
    }
    if (s->poll_ns) {
        s->skipped = 0;
        return s->poll_ns;
    }
    if (++s->skipped < POLL_RETRY) {
        return 0;
    }
    s->skipped = 0;
    s->retried = true;
    return params->max_ns;
}

enum poll_verdict poll_window_tune(struct poll_window *s,
                                   const struct poll_params *params,
                                   int64_t block_ns)
{
    enum poll_verdict verdict;
    int64_t before_ns = s->poll_ns;

    if (s->retried && block_ns <= params->max_ns) {
        /* It pays after all: what was learned holds no longer. */
        s->history = (struct poll_history){.waits = 0};
        s->retried = false;
    }
    poll_history_add(&s->history, params->max_ns, block_ns);
    s->poll_ns = poll_tuner_next_ns(params, before_ns, block_ns, &verdict);
    if (learns(s, params)) {
        s->poll_ns = poll_history_window_ns(&s->history, params->max_ns,
                                            s->wake_ns);
        verdict = poll_verdict_of(before_ns, s->poll_ns);
    }
    return verdict;
}
