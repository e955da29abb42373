/* SPDX-License-Identifier: MIT
 *
 * See py_core.h.
 */
#include "context/py_core.h"
#include "queue/work.h"

struct py_core *py_core_new(struct module_state *state)
{
    struct py_core *core;
    int ret;

    core = aligned_alloc(CACHE_LINE, (sizeof(*core) + CACHE_LINE - 1) /
                                         CACHE_LINE * CACHE_LINE);
    if (!core) {
        PyErr_NoMemory();
        return NULL;
    }
    atomic_init(&core->refs, 1);
    atomic_init(&core->posters, 0);
    atomic_init(&core->detached, false);
    core->trace = &state->trace;
    core->context_ref = NULL;
    ret = aio_core_init(&core->aio);
    if (ret < 0) {
        free(core);
        raise_errno(ret);
        return NULL;
    }
    return core;
}

int py_core_set_context(struct py_core *core, PyObject *context)
{
    core->context_ref = PyWeakref_NewRef(context, NULL);
    return core->context_ref ? 0 : -1;
}

struct py_core *py_core_ref(struct py_core *core)
{
    /* Relaxed: the caller holds a reference, the object is there. */
    atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed);
    return core;
}

static void drop_list(struct py_core *core)
{
    struct completion_node *link, *next;

    for (link = completion_list_take(&core->aio.list); link; link = next) {
        next = link->next;
        work_of(link)->ops->drop(work_of(link));
    }
}

void py_core_close(struct py_core *core)
{
    notify_unblock(&core->aio.notify); /* a foreign loop may have waited */
    /* C */
    atomic_fetch_or_explicit(&core->posters, POSTERS_CLOSED,
                             memory_order_acq_rel);
    py_core_close_notifier(core);
}

void py_core_detach(struct py_core *core)
{
    /* Seq_cst with the load below: either side, or both, drops the list. */
    atomic_store_explicit(&core->detached, true, memory_order_seq_cst);
    drop_list(core);
}

void py_core_drop_undelivered(struct py_core *core)
{
    if (py_core_is_detached(core)) {
        drop_list(core);
    }
}

void py_core_unref(struct py_core *core)
{
    /* Acquire-release: what others did before their unref comes before this. */
    if (atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    aio_core_cleanup(&core->aio);
    Py_XDECREF(core->context_ref);
    free(core);
}

PyObject *py_core_context(struct py_core *core)
{
    PyObject *context;

#if PY_VERSION_HEX >= 0x030D0000
    PyWeakref_GetRef(core->context_ref, &context);
#else
    context = PyWeakref_GetObject(core->context_ref);
    context = context == Py_None ? NULL : Py_NewRef(context);
#endif
    return context;
}
