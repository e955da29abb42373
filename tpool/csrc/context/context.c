/* SPDX-License-Identifier: MIT
 *
 * See context.h: who may be in a context, and what others tell it.
 */
#include "aio/handoff.h"
#include "context/context.h"

/* node NULL: notify(). */
static void post(struct aio_core *core, struct completion_node *node)
{
    if (node) {
        aio_core_post(core, node);
    } else {
        notify_bare(&core->notify);
    }
}

/*
 * An owner that polls would find the GIL taken, and sleep on it: what is posted is
 * published once the GIL is dropped, and that asked for again when the owner has it.
 */
static void post_to_owner(struct aio_core *core, struct completion_node *node)
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

void context_post(AioContextObject *c, struct completion_node *node)
{
    struct aio_core *core = c->core;
    bool is_flood = node && aio_count_post(core);

    if (owner_is_me(&c->owner)) {
        post(core, node);
        return;
    }
    /* Without the GIL another thread may close the context, and let go of it. */
    aio_core_ref(core);
    aio_core_enter(core);
    post_to_owner(core, node);
    if (is_flood) {
        Py_BEGIN_ALLOW_THREADS
        aio_wait_for_owner(core);
        Py_END_ALLOW_THREADS
    }
    aio_core_leave(core);
    aio_core_drop_undelivered(core);
    aio_core_unref(core);
}

int context_enter(AioContextObject *c)
{
    if (owner_acquire(&c->owner) < 0) {
        return -1;
    }
    if (context_check_open(c) < 0) {
        owner_release(&c->owner);
        return -1;
    }
    return 0;
}

int context_raise_closed(AioContextObject *c)
{
    PyErr_SetString(PyExc_RuntimeError,
                    c->forked ? "the AioContext belongs to the process that "
                                "was forked, not to its child"
                              : "the AioContext is closed");
    return -1;
}

void context_changed(AioContextObject *c)
{
    if (!owner_is_me(&c->owner)) {
        notify_bare(&c->core->notify);
    }
}

int context_adopt(AioContextObject *c)
{
    if (!atomic_load_explicit(&c->owner.adopted, memory_order_relaxed)) {
        int ret = 0;

        owner_set(&c->owner);
        if (c->owner.is_main && c->signals.pipe.rfd < 0) {
            ret = signal_guard_open(&c->signals, &c->fdmon);
        }
        if (ret < 0) {
            raise_errno(ret);
            return -1;
        }
        /* Release: pairs with the acquire in owner_check(). */
        atomic_store_explicit(&c->owner.adopted, true, memory_order_release);
    }
    return owner_check(&c->owner);
}
