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

#endif
