/* SPDX-License-Identifier: MIT
 *
 * See args.h.
 */
#include "py/args.h"
#include "base/clock.h"

#include <math.h>

/* "NAME must be at most BOUND, not VALUE"; at: "at most" or "at least". */
static int raise_bound(PyObject *type, const char *name, const char *at,
                       int64_t bound, PyObject *value)
{
    PyObject *repr = PyObject_Repr(value);

    if (!repr) { /* an int of too many digits */
        PyErr_Clear();
        repr = PyUnicode_FromFormat("a %s of its size",
                                    Py_TYPE(value)->tp_name);
    }
    if (repr) {
        PyErr_Format(type, "%s must be %s %lld, not %U", name, at,
                     (long long)bound, repr);
        Py_DECREF(repr);
    }
    return -1;
}

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
        return raise_bound(PyExc_OverflowError, name, "at most", max, value);
    }
    if (overflow < 0 || *out < min) {
        return raise_bound(PyExc_ValueError, name, "at least", min, value);
    }
    return 0;
}

int arg_poll_params(PyObject *const given[3], char *const names[3],
                    struct poll_params *out)
{
    int64_t *const numbers[] = {&out->max_ns, &out->grow, &out->shrink};

    for (int i = 0; i < 3; i++) {
        if (given[i] &&
            arg_int(given[i], names[i], 0, INT64_MAX, numbers[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A number of them that is no NaN.  Returns 0, or -1 with an exception. */
static int parse_seconds(PyObject *value, const char *name, double *out)
{
    double seconds;

    if (!PyFloat_Check(value) && !PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a number of seconds or None, not %R", name,
                     value);
        return -1;
    }
    if (PyFloat_Check(value)) {
        seconds = PyFloat_AS_DOUBLE(value);
    } else {
        PyObject *index = PyNumber_Index(value);
        int overflow;

        if (!index) {
            return -1;
        }
        /* Too large for an int64: only its sign counts. */
        seconds = (double)PyLong_AsLongLongAndOverflow(index, &overflow);
        Py_DECREF(index);
        seconds = overflow ? overflow * (double)INFINITY : seconds;
    }
    if (isnan(seconds)) {
        PyErr_Format(PyExc_ValueError, "%s must not be NaN: %R", name, value);
        return -1;
    }
    *out = seconds;
    return 0;
}

/* Rounded up: a wait is never shorter than was asked for. */
static int64_t ns_from_seconds(double seconds)
{
    seconds *= (double)NS_PER_SECOND;
    return seconds < (double)(INT64_MAX / 2) ? (int64_t)ceil(seconds) : -1;
}

int arg_seconds(PyObject *value, const char *name, int64_t *out_ns)
{
    double seconds = (double)INFINITY;

    if (value != Py_None && parse_seconds(value, name, &seconds) < 0) {
        return -1;
    }
    if (seconds < 0) {
        return raise_bound(PyExc_ValueError, name, "at least", 0, value);
    }
    *out_ns = ns_from_seconds(seconds);
    return 0;
}

int arg_timeout(PyObject *value, const char *name, int64_t *out_ns)
{
    double seconds = (double)INFINITY;

    if (value != Py_None && parse_seconds(value, name, &seconds) < 0) {
        return -1;
    }
    *out_ns = seconds < 0 ? 0 : ns_from_seconds(seconds);
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

PyObject *args_call(PyCFunctionWithKeywords function, void *self,
                    PyObject *args, PyObject *kwargs)
{
    PyObject *result;

    if (kwargs) {
        kwargs = PyDict_Copy(kwargs);
        if (!kwargs) {
            return NULL;
        }
        PyObject_GC_UnTrack(kwargs);
    }
    result = function(self, args, kwargs);
    Py_XDECREF(kwargs);
    return result;
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
        } else if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Format(PyExc_ValueError, "fd must be an open file, not %R",
                         value);
        }
        return -1;
    }
    if (arg_int(value, "fd", 0, INT32_MAX, &fd) < 0) {
        return -1;
    }
    *out = (int)fd;
    return 0;
}

/* Which of the names it is, or n. */
static int find_name(PyObject *name, const char *const *names, int n)
{
    int i = 0;

    while (i < n && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) {
        i++;
    }
    return i;
}

int args_unpack(const char *function, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, const char *const *names, int least, int n,
                PyObject **values)
{
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    uint32_t given = 0;

    if (nargs + named > n) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d argument%s (%zd given)", function,
                     n, n == 1 ? "" : "s", nargs + named);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs + named; i++) {
        PyObject *name = i < nargs ? NULL
                                   : PyTuple_GET_ITEM(kwnames, i - nargs);
        int which = name ? find_name(name, names, n) : (int)i;

        if (which == n) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         function, name);
            return -1;
        }
        if (given & 1u << which) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got multiple values for argument '%s'", function,
                         names[which]);
            return -1;
        }
        given |= 1u << which;
        values[which] = args[i];
    }
    for (int i = 0; i < least; i++) {
        if (!(given & 1u << i)) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument '%s' (pos %d)",
                         function, names[i], i + 1);
            return -1;
        }
    }
    return 0;
}

int args_poll_max_ns(int64_t *out)
{
    static const char name[] = "TPOOL_POLL_MAX_NS";
    const char *text = getenv(name);
    size_t length = text ? strlen(text) : 0;
    PyObject *value;

    if (!text) {
        return 0;
    }
    /* What fits an int64, whatever the digits. */
    if (length && length <= 18 && strspn(text, "0123456789") == length) {
        *out = strtoll(text, NULL, 10);
        return 0;
    }
    value = PyUnicode_DecodeFSDefault(text);
    if (value) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be a number of nanoseconds, not %R", name, value);
        Py_DECREF(value);
    }
    return -1;
}
