/* SPDX-License-Identifier: MIT
 *
 * What a thread that has the GIL hands to the owner of a context.
 */
#ifndef TPOOL_PY_POST_H
#define TPOOL_PY_POST_H

#include "aio/handoff.h"
#include "py/state.h"

/* Any thread.  node NULL: a bare notify. */
static inline void post(struct aio_core *core, struct completion_node *node)
{
    if (node) {
        aio_core_post(core, node);
    } else {
        notify_bare(&core->notify);
    }
}

/*
 * Any thread that holds the core, and has entered it.  An owner that polls would find
 * the GIL taken, and sleep on it: what is posted is published once the GIL is dropped,
 * and that asked for again when the owner has it.
 */
static inline void post_to_owner(struct aio_core *core,
                                 struct completion_node *node)
{
#ifndef Py_GIL_DISABLED
    if (aio_owner_polls(core)) {
        Py_BEGIN_ALLOW_THREADS
        post(core, node);
        aio_handoff_to_owner(core);
        Py_END_ALLOW_THREADS
        return;
    }
#endif
    post(core, node);
}

#endif
