/* SPDX-License-Identifier: MIT
 *
 * What outlives an AioContext object while workers still deliver to it.
 */
#ifndef TPOOL_CONTEXT_PY_CORE_H
#define TPOOL_CONTEXT_PY_CORE_H

#include "aio/core.h"
#include "py/state.h"

struct py_core {
    struct aio_core aio;
    /* Any thread. */
    _Atomic uint32_t refs;
    _Atomic uint32_t posters; /* that may write the notifier: workers, say */
    atomic_bool detached;     /* the context is gone: nobody will dispatch */
    /* Immutable after init. */
    PyObject
        *context_ref;    /* weak reference to the AioContext, once it is open */
    struct trace *trace; /* the types of all users keep the module alive */
};

/* GIL held.  NULL with an exception. */
struct py_core *py_core_new(struct module_state *state);

/* GIL held, once.  Returns 0, or -1 with an exception. */
int py_core_set_context(struct py_core *core, PyObject *context);
struct py_core *py_core_ref(struct py_core *core);

/*
 * The notifier is closed by the last that may write it: close() of the context, or the
 * last poster after that.
 *
 * 1. C: the owner is blocked no more, and sets POSTERS_CLOSED;
 * 2. L: a poster leaves, and is the last;
 * 3. who finds nobody there after C, be it in C or in L, tries to set POSTERS_GONE:
 *    one of them does, and closes it.
 *
 * Who enters after C knows, by the order of the two, that the owner does not block:
 * it writes nothing, whether the notifier is still there or not.
 */
#define POSTERS_CLOSED (UINT32_C(1) << 31)
#define POSTERS_GONE   (UINT32_C(1) << 30)

/* Acquire-release, all: one order, and what went before is seen. */
static inline void py_core_close_notifier(struct py_core *core)
{
    uint32_t nobody = POSTERS_CLOSED;

    if (atomic_compare_exchange_strong_explicit(
            &core->posters, &nobody, POSTERS_CLOSED | POSTERS_GONE,
            memory_order_acq_rel, memory_order_relaxed)) {
        notify_cleanup(&core->aio.notify);
    }
}

/* Any thread but the owner, before and after it may write the notifier. */
static inline void py_core_enter(struct py_core *core)
{
    atomic_fetch_add_explicit(&core->posters, 1, memory_order_acq_rel);
}

static inline void py_core_leave(struct py_core *core)
{
    /* L */
    if (atomic_fetch_sub_explicit(&core->posters, 1, memory_order_acq_rel) ==
        (POSTERS_CLOSED | 1)) {
        py_core_close_notifier(core);
    }
}

/* GIL held: the last one drops what nobody has dispatched. */
void py_core_unref(struct py_core *core);

/* Owner, not blocked.  Closes the notifier as soon as nobody may write it. */
void py_core_close(struct py_core *core);

/* GIL held.  The context lets go: from now on what is delivered is dropped. */
void py_core_detach(struct py_core *core);

/* Any thread.  Sequentially consistent: after a post either this tells, or
 * py_core_detach() finds what was posted. */
static inline bool py_core_is_detached(struct py_core *core)
{
    return atomic_load_explicit(&core->detached, memory_order_seq_cst);
}

/*
 * Poster, GIL held, after it has delivered: drops what nobody will dispatch.
 * What is on the list keeps the core, and so itself, alive.
 */
void py_core_drop_undelivered(struct py_core *core);

/* GIL held.  A new reference to the AioContext, or NULL without an exception. */
PyObject *py_core_context(struct py_core *core);

#endif
