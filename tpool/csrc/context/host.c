/* SPDX-License-Identifier: MIT
 *
 * What a turn asks of Python: its lock, and the handlers of signals.  See aio_host.
 */
#include "context/context.h"
#include "queue/word_pollers.h"

static void leave(struct aio_context *a, bool blocks)
{
    AioContextObject *c = context_of(a);

    if (blocks) {
        c->hold = owner_release_all(&c->owner);
    }
    c->thread = PyEval_SaveThread();
}

static void enter(struct aio_context *a, bool blocked)
{
    AioContextObject *c = context_of(a);

    PyEval_RestoreThread(c->thread);
    if (blocked) {
        owner_acquire_again(&c->owner, c->hold);
    }
    if (word_pollers_ask(&c->state->pollers)) {
        /* Who waits for what it puts into a queue may poll, as the owner does. */
        word_pollers_set_lag(&c->state->pollers,
                             atomic_load_explicit(&a->core->cpus.owner_lag_ns,
                                                  memory_order_relaxed));
    }
}

static int guard(struct aio_context *a)
{
    AioContextObject *c = context_of(a);
    int ret = c->owner.is_main ? signal_guard_enter(&c->signals) : 0;

    return ret < 0 ? AIO_RAISED : ret;
}

static void unguard(struct aio_context *a)
{
    signal_guard_leave(&context_of(a)->signals);
}

static int signals(struct aio_context *a)
{
    return context_of(a)->owner.is_main && PyErr_CheckSignals() < 0 ? AIO_RAISED
                                                                    : 0;
}

static void pass_on(struct aio_context *a)
{
    signal_guard_pass_on(&context_of(a)->signals);
}

const struct aio_host context_host = {
#ifndef Py_GIL_DISABLED
    .exclusive = true,
#endif
    .leave = leave,
    .enter = enter,
    .guard = guard,
    .unguard = unguard,
    .signals = signals,
    .pass_on = pass_on,
};
