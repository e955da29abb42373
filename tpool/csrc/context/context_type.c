/* SPDX-License-Identifier: MIT
 *
 * The type AioContext: how one is made, and what the collector sees of it.
 */
#include "context/context.h"
#include "context/fd_handlers.h"
#include "context/timer.h"
#include "context/watch.h"
#include "py/args.h"
#include "py/work_object.h"
#include "source/calls.h"
#include "source/fds.h"

#include <structmember.h>

/*
 * From tp_alloc() on the collector, and so everybody, can find it: what the methods
 * of a closed context need is there before, and is put in place with no code of
 * others in between.  Takes owner and core over.  NULL with an exception.
 */
static AioContextObject *context_alloc(PyTypeObject *type,
                                       struct module_state *state,
                                       const struct owner *owner,
                                       struct aio_core *core)
{
    static const struct io_queue_ops *const kinds[KERNEL_IO_KINDS] = {
        &io_uring_ops, &linux_aio_ops};
    AioContextObject *c = (AioContextObject *)type->tp_alloc(type, 0);

    if (!c) {
        return NULL;
    }
    c->aio.closed = true; /* until it is open */
    c->state = state;
    c->forks = atomic_load_explicit(&state->forks, memory_order_relaxed);
    c->owner = *owner;
    c->aio.core = core;
    c->aio.host = &context_host;
    c->aio.name = c;
    c->aio.signal_pipe = &c->signals.pipe;
    signal_guard_init(&c->signals, state);
    for (int i = 0; i < KERNEL_IO_KINDS; i++) {
        kernel_io_init(&c->kernel_io[i], kinds[i]);
    }
    return c;
}

/* Returns 0, or -1 with an exception and still closed. */
static int context_open(AioContextObject *c)
{
    int ret = fdmon_init(&c->aio.fdmon);

    if (ret < 0) {
        raise_errno(ret);
        return -1;
    }
    ret = fdmon_add_own(&c->aio.fdmon, &c->aio.core->notify.notifier);
    if (ret == 0 && c->owner.is_main) {
        ret = signal_guard_open(&c->signals, &c->aio.fdmon);
    }
    if (ret < 0) {
        raise_errno(ret);
        context_teardown(c);
        return -1;
    }
    c->aio.closed = false;
    return 0;
}

/* NULL with an exception. */
static PyObject *context_make(PyTypeObject *type,
                              const struct poll_params *params)
{
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    struct module_state *state;
    struct owner owner;
    struct aio_core *core;
    AioContextObject *c;
    int ret;

    if (!module) {
        return NULL; /* a metaclass has left the type out of the mro() */
    }
    state = PyModule_GetState(module);
    ret = aio_core_new(&core, &state->trace);
    if (ret < 0) {
        return ret == -ENOMEM ? PyErr_NoMemory() : raise_errno(ret);
    }
    c = owner_init(&owner, &core->owner_tid, &state->first_stack) < 0
            ? (AioContextObject *)PyErr_NoMemory()
            : context_alloc(type, state, &owner, core);
    if (!c) {
        owner_cleanup(&owner);
        aio_core_unref(core);
        return NULL;
    }
    c->aio.params = *params;
    c->aio.fds.lost = handlers_lost;
    sleep_costs_init(&c->aio.sleep);
    cpu_parting_init(&c->aio.parting);
    c->aio.cpus_ns = c->aio.made_ns = clock_now_ns();
    fds_init(&c->fds);
    aio_source_add(&c->aio, &c->fds);
    calls_init(&c->calls, &c->aio);
    owner_set(&c->owner); /* for now: the first that polls */
    if (context_open(c) < 0) {
        Py_DECREF(c);
        return NULL;
    }
    return (PyObject *)c;
}

/* NULL with an exception. */
static PyObject *context_new_args(PyTypeObject *type, PyObject *args,
                                  PyObject *kwargs)
{
    static char *names[] = {"poll_max_ns", "poll_grow", "poll_shrink",
                            "poll_hybrid", NULL};
    PyObject *given[3] = {NULL};
    struct poll_params params = {.max_ns = POLL_MAX_NS_DEFAULT};
    int hybrid = 1;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO$p:AioContext", names,
                                     &given[0], &given[1], &given[2],
                                     &hybrid) ||
        arg_poll_params(given, names, &params) < 0) {
        return NULL;
    }
    params.hybrid = hybrid;
    return context_make(type, &params);
}

static WITH_OWN_KEYWORDS(context_new, PyTypeObject)

    /*
 * What is on a list is visited as the list's own; so is what a post refers to, for
 * the collector does not know of the post.
 */
    static int visit_work(struct work *w, visitproc visit, void *arg)
{
    PyObject *work = work_object(w);

    return w->ops->is_post ? Py_TYPE(work)->tp_traverse(work, visit, arg)
                           : visit(work, arg);
}

static int visit_entries(const struct kernel_io_entry *e, visitproc visit,
                         void *arg)
{
    int ret = 0;

    for (; e && !ret; e = e->next) {
        ret = visit(work_object(e->work), arg);
    }
    return ret;
}

static int context_traverse(AioContextObject *c, visitproc visit, void *arg)
{
    struct completion_node *lists[] = {c->aio.batch_head, c->aio.idle_head,
                                       NULL};
    int ret = 0;

    Py_VISIT(Py_TYPE(c));
    if (c->aio.core && !c->aio.closed) {
        /*
         * Posters push while this walks, but never take: what is reached stays
         * reachable.  A node carries one reference, which is visited here.
         */
        lists[2] = atomic_load_explicit(&c->aio.core->list.head,
                                        memory_order_acquire);
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(lists); i++) {
        for (struct completion_node *n = lists[i]; n && !ret; n = n->next) {
            ret = visit_work(work_of(n), visit, arg);
        }
    }
    for (int i = 0; i < KERNEL_IO_KINDS; i++) {
        ret = ret ? ret : visit_entries(c->kernel_io[i].flying, visit, arg);
        ret = ret ? ret : visit_entries(c->kernel_io[i].waiting, visit, arg);
    }
    ret = ret ? ret : handlers_traverse(&c->aio.fds, visit, arg);
    ret = ret ? ret : timers_traverse(&c->aio.timers, visit, arg);
    return ret ? ret : watches_traverse(c, visit, arg);
}

static int context_clear(AioContextObject *c)
{
    if (c->aio.core && !c->aio.closed) {
        context_teardown(c);
    }
    return 0;
}

static void context_dealloc(AioContextObject *c)
{
    PyTypeObject *type = Py_TYPE(c);

    PyObject_GC_UnTrack(c);
    if (c->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)c);
    }
    context_clear(c);
    if (c->aio.core) {
        aio_core_unref(c->aio.core);
    }
    owner_cleanup(&c->owner);
    type->tp_free(c);
    Py_DECREF(type);
}

static PyMemberDef context_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(AioContextObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "The part of tpool.AioContext that is in C."},
    {Py_tp_new, context_new},
    {Py_tp_init, init_nothing},
    {Py_tp_traverse, context_traverse},
    {Py_tp_clear, context_clear},
    {Py_tp_dealloc, context_dealloc},
    {Py_tp_methods, context_methods},
    {Py_tp_getset, context_getset},
    {Py_tp_members, context_members},
    {0, NULL},
};

PyType_Spec context_spec = {
    .name = "tpool._core.AioContext",
    .basicsize = sizeof(AioContextObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};
