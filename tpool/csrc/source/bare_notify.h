/* SPDX-License-Identifier: MIT
 *
 * The threads of others, as a source: they post, or call notify(), and an event loop
 * waits for them as for its own workers.  They do not poll: each has to be woken for its
 * work, which takes about as long as it does to wake the owner.  So much is taken off
 * the time that passed, and added to the window.  None is polled for where events cost
 * more so: event_trial.h.
 */
#ifndef TPOOL_SOURCE_BARE_NOTIFY_H
#define TPOOL_SOURCE_BARE_NOTIFY_H

#include "source/event_trial.h"

struct bare_notify {
    struct aio_source source;
    const struct event_trial *trial;
    uint32_t missed; /* waits in a row without one */
};

/* A source of it, which becomes an event loop's. */
void bare_notify_init(struct bare_notify *b, const struct event_trial *trial,
                      struct aio_context *c);

#endif
