/* SPDX-License-Identifier: MIT
 *
 * What an event loop waits for beside calls, events of fds and what threads of others
 * post, costs by polling and without, measured: see poll_trial.h.  A source for which
 * nobody looks: fd_polls.h and bare_notify.h ask for the way.
 */
#ifndef TPOOL_SOURCE_EVENT_TRIAL_H
#define TPOOL_SOURCE_EVENT_TRIAL_H

#include "aio/source.h"
#include "tune/poll_trial.h"

struct event_trial {
    struct aio_source source;
    struct poll_trial trial;
    int64_t begin_ns; /* of an epoch; 0: no wait is of one */
    int64_t cpu_ns, paused_ns;
    int64_t fd_events;
    uint64_t posts_run; /* when it began */
};

/* A source of it, which becomes an event loop's: after those who ask. */
void event_trial_init(struct event_trial *t, struct aio_context *c);

/* Whether this wait is for events alone, and measured. */
static inline bool event_trial_is_on(const struct event_trial *t)
{
    return t->begin_ns != 0;
}

/* Whether nobody is to poll for them. */
static inline bool event_trial_blocks(const struct event_trial *t)
{
    return t->trial.way >> BIT_BLOCK & 1;
}

#endif
