/* SPDX-License-Identifier: MIT
 *
 * See py_args.h.
 */
#include "py_args.h"
#include "clock.h"

#include <math.h>

int arg_int(PyObject *value, const char *name, int64_t min, int64_t max,
            int64_t *out)
{
    PyObject *index;
    int overflow;

    if (!PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %R", name, value);
        return -1;
    }
    index = PyNumber_Index(value);
    if (!index) {
        return -1;
    }
    *out = PyLong_AsLongLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (overflow > 0 || (!overflow && *out > max)) {
        PyErr_Format(PyExc_OverflowError, "%s must be at most %lld, not %R",
                     name, (long long)max, value);
        return -1;
    }
    if (overflow < 0 || *out < min) {
        PyErr_Format(PyExc_ValueError, "%s must be at least %lld, not %R", name,
                     (long long)min, value);
        return -1;
    }
    return 0;
}

int arg_seconds(PyObject *value, const char *name, int64_t *out_ns)
{
    double seconds;

    if (value == Py_None) {
        *out_ns = -1;
        return 0;
    }
    if (!PyFloat_Check(value) && !PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a number of seconds or None, not %R", name,
                     value);
        return -1;
    }
    seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        int overflow;

        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear(); /* an int too large for a float: only its sign counts */
        PyLong_AsLongLongAndOverflow(value, &overflow);
        seconds = overflow < 0 ? -1.0 : (double)INFINITY;
    }
    if (isnan(seconds) || seconds < 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative or NaN: %R",
                     name, value);
        return -1;
    }
    seconds *= (double)NS_PER_SECOND;
    /* Rounded up: a wait is never shorter than was asked for. */
    *out_ns = seconds < (double)(INT64_MAX / 2) ? (int64_t)ceil(seconds) : -1;
    return 0;
}

int arg_callable(PyObject *value, const char *name, bool none_ok,
                 PyObject **out)
{
    *out = NULL;
    if (!value || (none_ok && value == Py_None)) {
        return 0;
    }
    if (!PyCallable_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be callable%s, not %R", name,
                     none_ok ? " or None" : "", value);
        return -1;
    }
    *out = value;
    return 0;
}

int arg_fd(PyObject *value, int *out)
{
    int64_t fd;

    if (!PyIndex_Check(value)) {
        *out = PyObject_AsFileDescriptor(value);
        if (*out >= 0) {
            return 0;
        }
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError,
                         "fd must be an int or have fileno(), not %R", value);
        }
        return -1;
    }
    if (arg_int(value, "fd", 0, INT32_MAX, &fd) < 0) {
        return -1;
    }
    *out = (int)fd;
    return 0;
}
