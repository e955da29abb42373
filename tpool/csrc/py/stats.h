/* SPDX-License-Identifier: MIT
 *
 * Statistics on their way to Python.
 */
#ifndef TPOOL_PY_STATS_H
#define TPOOL_PY_STATS_H

#include "py/state.h"

struct stat_item {
    const char *name; /* NULL: there are no more */
    uint64_t value;
};

/* A dict of what is counted, by name.  NULL with an exception. */
static inline PyObject *stats_dict(const struct stat_item *item)
{
    PyObject *stats = PyDict_New();

    for (; stats && item->name; item++) {
        PyObject *number = PyLong_FromUnsignedLongLong(item->value);

        if (!number || PyDict_SetItemString(stats, item->name, number) < 0) {
            Py_CLEAR(stats);
        }
        Py_XDECREF(number);
    }
    return stats;
}

/* Adds a tuple of n counts to such a dict, which may be NULL.  The same. */
static inline PyObject *stats_add_counts(PyObject *stats, const char *name,
                                         const uint64_t *counts, Py_ssize_t n)
{
    PyObject *tuple = stats ? PyTuple_New(n) : NULL;

    for (Py_ssize_t i = 0; tuple && i < n; i++) {
        PyObject *number = PyLong_FromUnsignedLongLong(counts[i]);

        if (number) {
            PyTuple_SET_ITEM(tuple, i, number);
        } else {
            Py_CLEAR(tuple);
        }
    }
    if (!tuple || PyDict_SetItemString(stats, name, tuple) < 0) {
        Py_CLEAR(stats);
    }
    Py_XDECREF(tuple);
    return stats;
}

#endif
