/* SPDX-License-Identifier: MIT
 *
 * The type ThreadPoolExecutor: a pool that is bound to no context, and whose calls are
 * futures of concurrent.futures.
 */
#include "executor/future_wait.h"
#include "pool/submit.h"
#include "py/args.h"

#include <structmember.h>

typedef struct {
    PoolObject base;
    PyTypeObject
        *future_type; /* immutable after new: of what submit() returns */
} ExecutorObject;

PyDoc_STRVAR(
    submit_doc,
    "submit($self, fn, /, *args, **kwargs)\n--\n\n"
    "Have a worker call fn(*args, **kwargs).\n"
    "\n"
    "Calls start in the order in which they were submitted.\n"
    "\n"
    "Returns:\n"
    "    A Future, which is a concurrent.futures.Future.\n"
    "\n"
    "Raises:\n"
    "    PoolFull: max_pending calls wait for a thread.\n"
    "    RuntimeError: The executor was shut down, or no thread can be started\n"
    "        and there is none; nothing is queued then. BrokenThreadPool, which\n"
    "        is one: an initializer has failed.\n"
    "\n"
    "Context: Any thread; __del__, garbage collection and signal handlers\n"
    "included: no lock is taken while Python code can run.");

static PyObject *submit(ExecutorObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    struct pool_core *pool = self->base.pool;
    FutureObject *f;

    if (pool_check_up(&self->base) < 0) {
        return NULL;
    }
    cpu_publish_lag(&pool->core->cpus.owner_lag_ns,
                    word_pollers_take_lag(&pool->state->pollers));
    f = future_new(pool, self->future_type, args, nargs, kwnames);
    if (f && pool_submit_work(&self->base, &f->base.work, f->submit_ns) < 0) {
        Py_CLEAR(f);
    }
    if (f) {
        future_let_end(f);
    }
    return (PyObject *)f;
}

/* Wakes who waits for it, at once. */
static void deliver(struct pool_core *pool, struct completion_node *waiting,
                    bool more)
{
    (void)more;
    future_wake(pool, waiting);
}

/* Whether the type of futures is one of ours.  0, or -1 with an exception. */
static int check_future_type(struct module_state *state, PyObject *type)
{
    if (PyType_Check(type) &&
        PyType_IsSubtype((PyTypeObject *)type, state->future_type)) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "future_type must be a type of Future, not %R", type);
    return -1;
}

static int executor_init_args(ExecutorObject *self, PyObject *args,
                              PyObject *kwargs)
{
    static char *names[] = {
        "future_type", "max_workers", "idle_timeout", "thread_name_prefix",
        "max_pending", "on_full",     "poll_max_ns",  "spawn",
        "initializes", NULL};
    struct module_state *state = PyModule_GetState(
        PyType_GetModuleByDef(Py_TYPE(self), &tpool_core_module));
    PyObject *future_type, *workers, *idle, *prefix, *pending, *on_full, *poll;
    PyObject *initializes;
    struct pool_config config = {.block_signals = false};
    struct poll_params params = {0};
    int64_t max_workers;
    struct pool_core *pool;

    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OOOOOOOOO:ThreadPoolExecutor", names, &future_type,
            &workers, &idle, &prefix, &pending, &on_full, &poll, &config.spawn,
            &initializes) ||
        check_future_type(state, future_type) < 0 ||
        arg_int(workers, "max_workers", 1, THREADS_MAX, &max_workers) < 0 ||
        arg_int(poll, "poll_max_ns", 0, INT64_MAX, &params.max_ns) < 0 ||
        pool_parse_config(idle, prefix, pending, on_full, &config) < 0) {
        return -1;
    }
    if (self->base.pool) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() was called before");
        return -1;
    }
    config.initializes = initializes == Py_True;
    pool = pool_core_new(state, NULL, &config, deliver);
    if (!pool) {
        return -1;
    }
    pool->waits.tuning.params = params;
    request_queue_set_params(&pool->queue, &params);
    request_queue_set_limits(&pool->queue, 0, (uint32_t)max_workers);
    self->future_type = (PyTypeObject *)Py_NewRef(future_type);
    self->base.pool = pool;
    return 0;
}

/* As the stock class it takes its arguments in __init__(): subclasses have others. */
static int executor_init(ExecutorObject *self, PyObject *args, PyObject *kwargs)
{
    int ret;

    kwargs = kwargs ? PyDict_Copy(kwargs) : PyDict_New(); /* see args_call() */
    if (!kwargs) {
        return -1;
    }
    PyObject_GC_UnTrack(kwargs);
    ret = executor_init_args(self, args, kwargs);
    Py_DECREF(kwargs);
    return ret;
}

static PyObject *executor_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                              PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

/* 0, or -1 with an exception. */
static int check_made(ExecutorObject *self)
{
    if (self->base.pool) {
        return 0;
    }
    PyErr_SetString(PyExc_RuntimeError,
                    "ThreadPoolExecutor.__init__() was not called");
    return -1;
}

static PyObject *executor_submit(ExecutorObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "submit() needs a callable fn");
        return NULL;
    }
    return check_made(self) < 0 ? NULL : submit(self, args, nargs, kwnames);
}

static PyObject *executor_close(ExecutorObject *self, PyObject *args)
{
    return check_made(self) < 0 ? NULL : pool_close_method(&self->base, args);
}

static PyObject *executor_stats(ExecutorObject *self, PyObject *ignored)
{
    return check_made(self) < 0 ? NULL : pool_stats(&self->base, ignored);
}

static PyObject *executor_get_down(ExecutorObject *self, void *closure)
{
    return check_made(self) < 0 ? NULL : pool_get_down(&self->base, closure);
}

static PyObject *executor_get_broken(ExecutorObject *self,
                                     void *Py_UNUSED(closure))
{
    return check_made(self) < 0
               ? NULL
               : PyBool_FromLong(pool_down(self->base.pool) == POOL_BROKEN);
}

static int executor_traverse(ExecutorObject *self, visitproc visit, void *arg)
{
    struct pool_core *pool = self->base.pool;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->future_type);
    /*
     * Its initializer may refer to the executor.  While something is queued the threads
     * may need it for more of them, whoever has the executor: then it is not visited.
     */
    if (pool && !request_queue_count(&pool->queue)) {
        Py_VISIT(pool->spawn);
    }
    return 0;
}

static void executor_dealloc(ExecutorObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->future_type);
    pool_dealloc(&self->base);
}

static PyMethodDef executor_methods[] = {
    METHOD("submit", executor_submit, METH_FASTCALL | METH_KEYWORDS,
           submit_doc),
    METHOD("_close", executor_close, METH_VARARGS, POOL_CLOSE_DOC),
    METHOD("_stats", executor_stats, METH_NOARGS, POOL_STATS_DOC),
    {NULL},
};

static PyGetSetDef executor_getset[] = {
    {"_down", (getter)executor_get_down, NULL, POOL_DOWN_DOC, NULL},
    {"_broken", (getter)executor_get_broken, NULL,
     "Whether the initializer of a thread has failed.", NULL},
    {NULL},
};

static PyMemberDef executor_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PoolObject, weakrefs), READONLY,
     NULL},
    {NULL},
};

static PyType_Slot executor_slots[] = {
    {Py_tp_doc, "The part of tpool.ThreadPoolExecutor that is in C."},
    {Py_tp_new, executor_new},
    {Py_tp_init, executor_init},
    {Py_tp_traverse, executor_traverse},
    {Py_tp_dealloc, executor_dealloc},
    {Py_tp_methods, executor_methods},
    {Py_tp_getset, executor_getset},
    {Py_tp_members, executor_members},
    {0, NULL},
};

PyType_Spec executor_spec = {
    .name = "tpool._core.ThreadPoolExecutor",
    .basicsize = sizeof(ExecutorObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = executor_slots,
};
