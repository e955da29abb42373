/* SPDX-License-Identifier: MIT
 *
 * Module state, and what every Python type of the module needs.
 */
#ifndef TPOOL_PY_STATE_H
#define TPOOL_PY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/osdep.h"
#include "base/thread_stack.h"
#include "base/trace_ring.h"
#include "queue/word_pollers.h"

#if PY_VERSION_HEX < 0x030D0000 /* the GIL is always there */
#define Py_IsFinalizing               _Py_IsFinalizing
#define Py_BEGIN_CRITICAL_SECTION(op) {
#define Py_END_CRITICAL_SECTION()     }
#endif

struct aio_core;
struct poll_params;
struct module_state;

extern struct PyModuleDef tpool_core_module;

/* What a context tells those that post to it, whoever they are.  GIL held. */
struct posters_ops {
    /* It closes: they accept no more work, and drop what has not begun. */
    void (*close)(struct module_state *state, struct aio_core *core);
    void (*set_params)(struct module_state *state, struct aio_core *core,
                       const struct poll_params *params);
    /* It is gone: nobody will hear how calls end that others make for it. */
    void (*gone)(struct module_state *state, struct aio_core *core);
};

/* The types of the module: NAME_type is made of NAME_spec. */
#define CONTEXT_TYPES(X) X(context) X(notifier) X(bottom_half) X(timer) X(watch)
#define POOL_TYPES(X)    X(request) X(ready) X(pool) X(worker) X(simple_queue)
#define FILE_TYPES(X)    X(file_op) X(files) X(ring) X(ring_view)
#define OTHER_TYPES(X)   X(future) X(executor) X(loop_ops)
#define STATE_TYPES(X)                                                         \
    CONTEXT_TYPES(X) POOL_TYPES(X) FILE_TYPES(X) OTHER_TYPES(X)

#define SPEC(name) extern PyType_Spec name##_spec;
STATE_TYPES(SPEC)
#undef SPEC

/* Names that are looked up often, interned: str_NAME. */
#define CALL_NAMES(X) X(func) X(args) X(cancelled) X(decimal) X(copy)
#define FUTURE_NAMES(X)                                                        \
    X(cancel) X(running) X(exception) X(result) X(add_done_callback)
#define WAIT_NAMES(X)                                                          \
    X(acquire) X(release) X(notify_all) X(asyncio) X(_get_running_loop)
#define WAITER_NAMES(X) X(add_result) X(add_exception) X(add_cancelled)
#define LOOP_NAMES(X)   X(get_loop) X(done) X(set_result)
#define STATE_NAMES(X)                                                         \
    CALL_NAMES(X)                                                              \
    FUTURE_NAMES(X) WAIT_NAMES(X) WAITER_NAMES(X) LOOP_NAMES(X)

struct module_state {
    /* Immutable after init. */
#define TYPE(name) PyTypeObject *name##_type;
    STATE_TYPES(TYPE)
#undef TYPE
    PyObject *pool_full;        /* exception */
    PyObject *queue_empty;      /* exception: queue.Empty */
    PyTypeObject *partial_type; /* functools.partial */
#define NAME(name) PyObject *str_##name;
    STATE_NAMES(NAME)
#undef NAME
    PyObject *set_wakeup_fd; /* see py_signals_init() */
    /* Any thread: where decimal has its context, or NULL; set once. */
    _Atomic(PyObject *) decimal_variable;
    /* The process's first thread: its own, found once. */
    struct thread_stack first_stack;
    /* Any thread: how often this process is the child of a fork. */
    _Atomic uint32_t forks;
    /* Any thread; see pools.h. */
    struct pool_core *pools;
    pthread_mutex_t pools_lock;
    struct posters_ops posters; /* immutable after init */
    /* Any thread; see gil_turns.h and word_pollers.h. */
    _Atomic uint32_t gil_turns;
    struct word_pollers pollers;
    /* Any thread; see trace_ring.h. */
    struct trace trace;
    bool trace_ready;
};

/*
 * Whether signal handlers run in this thread of this interpreter.  Python's main
 * thread need not be the process's first.  Exported by every CPython; declared in
 * its internal headers since 3.13.
 */
PyAPI_FUNC(int) _PyOS_IsMainThread(void);

/* errno or -errno -> OSError, which picks the subclass.  Returns NULL. */
static inline PyObject *raise_errno(int err)
{
    errno = err < 0 ? -err : err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* With an exception set: whether it must leave poll(), as Ctrl-C must. */
static inline bool exception_is_fatal(void)
{
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ||
           PyErr_ExceptionMatches(PyExc_SystemExit);
}

/*
 * A callback has raised.  Returns 0 if the exception went to
 * sys.unraisablehook, -1 if it is one that must leave poll().
 */
static inline int report_callback(PyObject *callback)
{
    if (exception_is_fatal()) {
        return -1;
    }
    PyErr_WriteUnraisable(callback);
    return 0;
}

/* The exception that is set, with its traceback, as one object, or NULL; clears it. */
static inline PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Sets it again, if there is one.  Steals the reference. */
static inline void put_exception(PyObject *exc)
{
    if (!exc) {
        return;
    }
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exc);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(exc)), exc, PyException_GetTraceback(exc));
#endif
}

/* An entry of a PyMethodDef table, whatever the function takes. */
#define METHOD(name, function, flags, doc)                                     \
    {name, (PyCFunction)(void (*)(void))function, flags, doc}

/* What a method returns that returns nothing; ret: -1 with an exception, or 0. */
static inline PyObject *none_or_null(int ret)
{
    return ret < 0 ? NULL : Py_NewRef(Py_None);
}

/* tp_init of a type whose tp_new does all: for the super().__init__(...) of a
 * subclass. */
static inline int init_nothing(PyObject *Py_UNUSED(self),
                               PyObject *Py_UNUSED(args),
                               PyObject *Py_UNUSED(kwargs))
{
    return 0;
}

/* What the signal guard needs.  Returns 0, or -1 with an exception. */
int py_signals_init(PyObject *module);

/* What callable_key() needs.  Returns 0, or -1 with an exception. */
int py_callable_init(PyObject *module);

/* Adds the functions for all pools.  Returns 0, or -1 with an exception. */
int py_pools_init(PyObject *module);

/* Adds the function for futures.  Returns 0, or -1 with an exception. */
int py_wrap_init(PyObject *module);

/* What a SimpleQueue needs.  Returns 0, or -1 with an exception. */
int py_simple_queue_init(PyObject *module);

/* Adds the function that opens files.  Returns 0, or -1 with an exception. */
int py_open_init(PyObject *module);

/* Adds the functions for tracing.  Returns 0, or -1 with an exception. */
int py_trace_init(PyObject *module);

#endif
