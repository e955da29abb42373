/* SPDX-License-Identifier: MIT
 *
 * BottomHalf: a callback that any thread may schedule and the owner runs.
 */
#ifndef TPOOL_CONTEXT_BOTTOM_HALF_H
#define TPOOL_CONTEXT_BOTTOM_HALF_H

#include "context/py_core.h"

/* args: a tuple, or NULL for none.  context is an AioContext. */
PyObject *bottom_half_new(struct module_state *state, PyObject *context,
                          PyObject *callback, PyObject *args);

/*
 * Any thread, GIL held.  Schedules one that only hands something to the event loop
 * above, which runs it later: see context_dispatch_work().  0, or -1 with an
 * exception.
 */
int bottom_half_post(struct module_state *state, PyObject *context,
                     PyObject *callback, PyObject *arg);

/* Visits what a post on the list refers to, as the list's own. */
int bottom_half_visit_post(PyObject *self, visitproc visit, void *arg);

/* Any thread. */
bool bottom_half_is_post(PyObject *self);

/* Any thread.  Returns None, or NULL with an exception. */
PyObject *bottom_half_schedule(PyObject *self);

/* Any thread.  Whether it waits for idle time, as far as it is scheduled. */
bool bottom_half_is_idle(PyObject *self);

/*
 * Owner.  Off every list; runs it if it is still scheduled.  Returns 0 and adds
 * to *progress unless it was idle, or -1 with an exception that must leave
 * poll().
 */
int bottom_half_run(PyObject *self, bool *progress);

#endif
