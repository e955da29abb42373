/* SPDX-License-Identifier: MIT
 *
 * The threads of others, as a source: they post, or call notify(), and an event loop
 * waits for them as for its own workers.  They do not poll: each has to be woken for its
 * work, which takes about as long as it does to wake the owner.  So much is taken off
 * the time that passed, and added to the window.
 */
#ifndef TPOOL_SOURCE_BARE_NOTIFY_H
#define TPOOL_SOURCE_BARE_NOTIFY_H

#include "aio/source.h"

struct bare_notify {
    struct aio_source source;
    uint32_t missed; /* waits in a row without one */
};

void bare_notify_init(struct bare_notify *b);

#endif
