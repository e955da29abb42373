/* SPDX-License-Identifier: MIT
 *
 * The fds of an event loop, polled for, as a source of its own: what is asked of a
 * server nearby is answered sooner than a wake-up takes.  Every poll phase looks at them
 * now and then; where no calls are waited for, and fds are soon ready, there is one for
 * them, with looks as often as they are cheap, unless events cost more so: event_trial.h.
 */
#ifndef TPOOL_SOURCE_FD_POLLS_H
#define TPOOL_SOURCE_FD_POLLS_H

#include "source/event_trial.h"
#include "tune/poll_window.h"

struct fd_polls {
    struct aio_source source;
    struct poll_window window;
    const struct event_trial *trial;
    uint32_t vain;   /* waits in a row of which polling saves nothing */
    int64_t looks;   /* in this wait, for fds alone */
    int64_t cost_ns; /* of a look, a moving average; 0: none was measured */
};

/* A source of it, which becomes an event loop's. */
void fd_polls_init(struct fd_polls *polls, const struct event_trial *trial,
                   struct aio_context *c);

#endif
