/* SPDX-License-Identifier: MIT
 *
 * LoopOps: what asyncio's event loop does most often, in C: to make a Handle, to run
 * it, and to give a future its result.
 *
 * Whether these may stand for asyncio's own functions its caller decides; see
 * tpool/loop/stock.py.  What they get may be anything: what is not as asyncio makes it
 * goes the way of asyncio.
 */
#ifndef TPOOL_LOOP_LOOP_OPS_H
#define TPOOL_LOOP_LOOP_OPS_H

#include "py/state.h"

/* The slots of a Handle, by their names without the underscore. */
#define HANDLE_FLAGS(X) X(cancelled) X(source_traceback) X(repr)
#define HANDLE_SLOTS(X) HANDLE_FLAGS(X) X(callback) X(args) X(loop) X(context)

typedef struct {
    PyObject_HEAD
    /* Immutable after new. */
    struct module_state *state;
    PyTypeObject *handle, *timer_handle; /* asyncio's */
    PyObject *get_running_loop;          /* asyncio's */
    PyObject *settle; /* of tpool.loop.futures; for whatever is rare */
#define OFFSET(name) Py_ssize_t name##_at;
    HANDLE_SLOTS(OFFSET)
#undef OFFSET
} LoopOpsObject;

/* Where the slots are.  Returns 0, or -1 with an exception. */
int loop_find_slots(LoopOpsObject *ops);

/* Methods.  Without the GIL another thread could cancel a handle while C reads it. */
PyObject *loop_make_handle(LoopOpsObject *ops, PyObject *const *args,
                           Py_ssize_t nargs);
PyObject *loop_run_handle(LoopOpsObject *ops, PyObject *handle);
PyObject *loop_settle(LoopOpsObject *ops, PyObject *const *args,
                      Py_ssize_t nargs);

#endif
