/* SPDX-License-Identifier: MIT
 *
 * The type ThreadPool; see submit.h.
 */
#include "pool/submit.h"
#include "pool/worker.h"
#include "py/args.h"
#include "py/stats.h"

#include <structmember.h>

PyDoc_STRVAR(
    submit_doc,
    "submit($self, fn, /, *args, **kwargs)\n--\n\n"
    "Have a worker call fn(*args, **kwargs), in a copy of the caller's\n"
    "contextvars context, and of its decimal context.\n"
    "\n"
    "Calls start in the order in which they were submitted; their completions\n"
    "arrive in the owner in the order in which they ended.\n"
    "\n"
    "Returns:\n"
    "    The Request.\n"
    "\n"
    "Raises:\n"
    "    PoolFull: max_pending requests wait for a thread.\n"
    "    RuntimeError: The pool was shut down, the context is closed, or no\n"
    "        thread can be started and there is none; nothing is queued then.\n"
    "    TypeError: fn is not callable.\n"
    "\n"
    "Context: Any thread; __del__, garbage collection and signal handlers\n"
    "included: no lock is taken while Python code can run.\n"
    "Source: QEMU's thread_pool_submit_aio().");

PyDoc_STRVAR(
    submit_for_doc,
    "_submit_for($self, future, settle, fn, args, /)\n--\n\n"
    "Submit fn(*args) for a future, as asyncio has it.\n"
    "\n"
    "The call runs in the thread's own context, and does not begin where the\n"
    "future is cancelled; what is not callable fails in the thread. The owner calls\n"
    "settle(request, future) when it is done.");

PyDoc_STRVAR(
    submit_many_doc,
    "submit_many($self, fn, argtuples, /)\n--\n\n"
    "Submit fn(*args) for each tuple of arguments, in one hand-over.\n"
    "\n"
    "A pool that blocks when full takes them as places become free.\n"
    "\n"
    "Returns:\n"
    "    A list of Requests, in the order of argtuples.\n"
    "\n"
    "Raises:\n"
    "    TypeError: fn is not callable, or argtuples holds something else than\n"
    "        tuples.\n"
    "    PoolFull, RuntimeError: As submit(). Whatever is raised by argtuples\n"
    "        is raised here. Nothing is submitted then; where the pool blocked\n"
    "        before, what has not started is taken back.\n"
    "\n"
    "Context: Any thread.");

/* Starts workers until min_threads are there.  -1: a signal handler raised. */
static int start_min_threads(struct pool_core *pool)
{
    uint64_t failures = atomic_load_explicit(&pool->spawn_failures,
                                             memory_order_relaxed);

    while (failures == atomic_load_explicit(&pool->spawn_failures,
                                            memory_order_relaxed) &&
           request_queue_grow(&pool->queue)) {
        if (pool_spawn_helper(pool) < 0) {
            return -1;
        }
    }
    return 0; /* after a failure submit() tries again, and raises */
}

static int parse_limits(PyObject *min, PyObject *max, uint32_t *min_threads,
                        uint32_t *max_threads)
{
    int64_t lo, hi;

    if (arg_int(min, "min_threads", 0, THREADS_MAX, &lo) < 0 ||
        arg_int(max, "max_threads", 1, THREADS_MAX, &hi) < 0) {
        return -1;
    }
    if (lo > hi) {
        PyErr_Format(PyExc_ValueError,
                     "min_threads must not exceed max_threads: %lld > %lld",
                     (long long)lo, (long long)hi);
        return -1;
    }
    *min_threads = (uint32_t)lo;
    *max_threads = (uint32_t)hi;
    return 0;
}

PyDoc_STRVAR(
    set_threads_doc,
    "set_threads($self, /, min_threads, max_threads)\n--\n\n"
    "Change the bounds of the pool; threads start and leave accordingly.\n"
    "\n"
    "A thread in a call leaves when the call ends.\n"
    "\n"
    "Raises:\n"
    "    ValueError: min_threads is negative or above max_threads, or\n"
    "        max_threads is less than 1.\n"
    "    OverflowError: A number is too large; it is named.\n"
    "    RuntimeError: The pool was shut down.\n"
    "\n"
    "Context: Any thread.");

static PyObject *pool_set_threads_args(PoolObject *self, PyObject *args,
                                       PyObject *kwargs)
{
    static char *names[] = {"min_threads", "max_threads", NULL};
    struct pool_core *pool = self->pool;
    PyObject *min, *max;
    uint32_t min_threads, max_threads;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:set_threads", names,
                                     &min, &max) ||
        parse_limits(min, max, &min_threads, &max_threads) < 0 ||
        pool_check_up(self) < 0) {
        return NULL;
    }
    if (request_queue_set_limits(&pool->queue, min_threads, max_threads) ==
            QUEUE_SPAWN &&
        pool_spawn_helper(pool) < 0) {
        return NULL;
    }
    return none_or_null(start_min_threads(pool));
}

static WITH_OWN_KEYWORDS(pool_set_threads, PoolObject)

    PyDoc_STRVAR(outstanding_doc,
                 "_outstanding($self, /)\n--\n\n"
                 "Requests that the owner has not dispatched.");

static PyObject *pool_outstanding(PoolObject *self,
                                  PyObject *Py_UNUSED(ignored))
{
    struct pool_core *pool = self->pool;
    struct queue_stats s;

    if (pool_check_here(pool) < 0) {
        return NULL;
    }
    pool_get_stats(pool, &s);
    return PyLong_FromUnsignedLongLong(
        s.submitted -
        atomic_load_explicit(&pool->dispatched, memory_order_relaxed));
}

/* Posts it to the context. */
static void deliver(struct pool_core *pool, struct completion_node *node,
                    bool more)
{
    if (more) {
        aio_core_post_early(pool->core, node);
    } else {
        aio_core_post(pool->core, node);
    }
}

/* The context's, which must be open.  Returns 0, or -1 with an exception. */
static int take_params(PoolObject *self)
{
    if (context_enter(self->context) < 0) {
        return -1;
    }
    request_queue_set_params(&self->pool->queue, &self->context->aio.params);
    owner_release(&self->context->owner);
    return 0;
}

static PyObject *pool_new_args(PyTypeObject *type, PyObject *args,
                               PyObject *kwargs)
{
    static char *names[] = {"ctx",
                            "min_threads",
                            "max_threads",
                            "idle_timeout",
                            "thread_name_prefix",
                            "max_pending",
                            "on_full",
                            "block_signals",
                            "spawn",
                            NULL};
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    struct module_state *state;
    PyObject *ctx, *min, *max, *idle, *prefix, *pending, *on_full, *spawn;
    uint32_t min_threads, max_threads;
    int block_signals;
    struct pool_config config;
    struct pool_core *pool;
    PoolObject *self;

    if (!module) {
        return NULL; /* a metaclass has left the type out of the mro() */
    }
    state = PyModule_GetState(module);
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OOOOOOOpO:ThreadPool", names, &ctx, &min, &max,
            &idle, &prefix, &pending, &on_full, &block_signals, &spawn)) {
        return NULL;
    }
    if (!PyObject_TypeCheck(ctx, state->context_type)) {
        PyErr_Format(PyExc_TypeError, "ctx must be an AioContext, not %R", ctx);
        return NULL;
    }
    if (parse_limits(min, max, &min_threads, &max_threads) < 0 ||
        pool_parse_config(idle, prefix, pending, on_full, &config) < 0) {
        return NULL;
    }
    config.spawn = spawn;
    config.block_signals = block_signals;
    pool = pool_core_new(state, (AioContextObject *)ctx, &config, deliver);
    if (!pool) {
        return NULL;
    }
    request_queue_set_limits(&pool->queue, min_threads, max_threads);
    /* From here on the collector, and so everybody, can find it: whole. */
    self = (PoolObject *)type->tp_alloc(type, 0);
    if (!self) {
        pool_core_unref(pool);
        return NULL;
    }
    self->pool = pool;
    self->context = (AioContextObject *)Py_NewRef(ctx);
    if (take_params(self) < 0 || start_min_threads(pool) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static WITH_OWN_KEYWORDS(pool_new, PyTypeObject)

    /* No tp_clear: what leads back to it does so by its context, which has one. */
    static int pool_traverse(PoolObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    return 0;
}

static PyMethodDef pool_methods[] = {
    METHOD("submit", pool_submit, METH_FASTCALL | METH_KEYWORDS, submit_doc),
    METHOD("_submit_for", pool_submit_for, METH_FASTCALL, submit_for_doc),
    METHOD("submit_many", pool_submit_many, METH_VARARGS, submit_many_doc),
    METHOD("set_threads", pool_set_threads, METH_VARARGS | METH_KEYWORDS,
           set_threads_doc),
    METHOD("_close", pool_close_method, METH_VARARGS, POOL_CLOSE_DOC),
    METHOD("_outstanding", pool_outstanding, METH_NOARGS, outstanding_doc),
    METHOD("_stats", pool_stats, METH_NOARGS, POOL_STATS_DOC),
    {NULL},
};

static PyGetSetDef pool_getset[] = {
    {"_down", (getter)pool_get_down, NULL, POOL_DOWN_DOC, NULL},
    {NULL},
};

static PyMemberDef pool_members[] = {
    {"ctx", T_OBJECT_EX, offsetof(PoolObject, context), READONLY,
     "The AioContext that the completions go to."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PoolObject, weakrefs), READONLY,
     NULL},
    {NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "The part of tpool.ThreadPool that is in C."},
    {Py_tp_new, pool_new},
    {Py_tp_init, init_nothing},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_getset},
    {Py_tp_members, pool_members},
    {0, NULL},
};

PyType_Spec pool_spec = {
    .name = "tpool._core.ThreadPool",
    .basicsize = sizeof(PoolObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_slots,
};
