/* SPDX-License-Identifier: MIT
 *
 * The start of Request and BottomHalf: an object of Python that is a work.
 */
#ifndef TPOOL_PY_WORK_OBJECT_H
#define TPOOL_PY_WORK_OBJECT_H

#include "py/state.h"
#include "queue/work.h"

typedef struct {
    PyObject_VAR_HEAD
    struct work work;
} WorkObject;

/* All that is on the lists of a context, and queued in a pool, is one. */
static inline PyObject *work_object(const struct work *w)
{
    return (PyObject *)container_of(w, WorkObject, work);
}

/* GIL held.  The reference that goes with it: see work_ops. */
static inline void work_object_drop(struct work *w)
{
    Py_DECREF(work_object(w));
}

#endif
