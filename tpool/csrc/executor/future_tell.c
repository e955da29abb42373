/* SPDX-License-Identifier: MIT
 *
 * See future_tell.h.
 */
#include "executor/future_tell.h"

int future_log(PyObject *future, const char *level, const char *format)
{
    PyObject *exc = take_exception();
    PyObject *module = PyImport_ImportModule("concurrent.futures._base");
    PyObject *logger = NULL, *log = NULL, *result = NULL;
    PyObject *args = Py_BuildValue("(sO)", format, future);
    PyObject *kwargs = Py_BuildValue("{sO}", "exc_info", exc ? exc : Py_None);

    if (module && args && kwargs) {
        logger = PyObject_GetAttrString(module, "LOGGER");
        log = logger ? PyObject_GetAttrString(logger, level) : NULL;
        result = log ? PyObject_Call(log, args, kwargs) : NULL;
    }
    Py_XDECREF(log);
    Py_XDECREF(logger);
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(module);
    Py_XDECREF(exc);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

void future_report(PyObject *future, const char *format)
{
    if (future_log(future, "critical", format) < 0) {
        PyErr_WriteUnraisable(future);
    }
}

void future_keep(PyObject **first, PyObject *where)
{
    if (*first) {
        PyErr_WriteUnraisable(where);
    } else {
        *first = take_exception();
    }
}

int future_call_back(PyObject *future, PyObject *callback)
{
    PyObject *result = PyObject_CallOneArg(callback, future);

    if (!result) {
        return PyErr_ExceptionMatches(PyExc_Exception)
                   ? future_log(future, "error",
                                "exception calling callback for %r")
                   : -1;
    }
    Py_DECREF(result);
    return 0;
}

/* A new reference, or NULL: the list, which others may have found, has got shorter. */
static PyObject *item_of(PyObject *list, Py_ssize_t i)
{
    PyObject *item = NULL;

    Py_BEGIN_CRITICAL_SECTION(list);
    if (i < PyList_GET_SIZE(list)) {
        item = Py_NewRef(PyList_GET_ITEM(list, i));
    }
    Py_END_CRITICAL_SECTION();
    return item;
}

int future_call_all_back(PyObject *future, PyObject *callbacks, bool in_worker)
{
    PyObject *callback;
    int ret = 0;

    for (Py_ssize_t i = 0;
         callbacks && ret == 0 && (callback = item_of(callbacks, i)); i++) {
        ret = future_call_back(future, callback);
        if (ret < 0 && in_worker) {
            future_report(future, "exception calling callback for %r");
            ret = 0;
        }
        Py_DECREF(callback);
    }
    Py_XDECREF(callbacks);
    return ret;
}

void future_tell(PyObject *future, PyObject *waiters, PyObject *method,
                 PyObject **first)
{
    PyObject *waiter;

    for (Py_ssize_t i = 0; waiters && (waiter = item_of(waiters, i)); i++) {
        PyObject *result = PyObject_CallMethodOneArg(waiter, method, future);

        if (!result) {
            future_keep(first, waiter);
        }
        Py_XDECREF(result);
        Py_DECREF(waiter);
    }
}
