/* SPDX-License-Identifier: MIT
 *
 * BottomHalf: a callback that any thread may schedule and the owner runs.
 */
#ifndef TPOOL_CONTEXT_BOTTOM_HALF_H
#define TPOOL_CONTEXT_BOTTOM_HALF_H

#include "context/context.h"

/* args: a tuple, or NULL for none. */
PyObject *bottom_half_new(AioContextObject *c, PyObject *callback,
                          PyObject *args);

/*
 * Any thread, GIL held.  Schedules one that only hands something to the event loop
 * above, which runs it later: see work_ops.  0, or -1 with an exception.
 */
int bottom_half_post(AioContextObject *c, PyObject *callback, PyObject *arg);

/* Any thread.  Returns 0, or -1 with an exception. */
int bottom_half_schedule(PyObject *self);

#endif
