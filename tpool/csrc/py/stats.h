/* SPDX-License-Identifier: MIT
 *
 * Statistics on their way to Python: a dict of what is counted, by name.
 */
#ifndef TPOOL_PY_STATS_H
#define TPOOL_PY_STATS_H

#include "py/state.h"

/* stats may be NULL, with an exception.  0, or -1 with an exception. */
static inline int stats_put(PyObject *stats, const char *name, uint64_t value)
{
    PyObject *number = stats ? PyLong_FromUnsignedLongLong(value) : NULL;
    int ret = number ? PyDict_SetItemString(stats, name, number) : -1;

    Py_XDECREF(number);
    return ret;
}

#endif
