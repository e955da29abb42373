/* SPDX-License-Identifier: MIT
 *
 * The module's functions for tracing; tpool.trace gives them a shape.
 */
#include "py/state.h"

static struct trace *trace_of(PyObject *module)
{
    return &((struct module_state *)PyModule_GetState(module))->trace;
}

static PyObject *enable(PyObject *module, PyObject *arg)
{
    int on = PyObject_IsTrue(arg);

    if (on < 0) {
        return NULL;
    }
    atomic_store_explicit(&trace_of(module)->on, on, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *enabled(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(
        atomic_load_explicit(&trace_of(module)->on, memory_order_relaxed));
}

static PyObject *clear(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    trace_clear(trace_of(module));
    Py_RETURN_NONE;
}

static PyObject *lost(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(trace_lost(trace_of(module)));
}

static PyObject *read_events(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    struct trace_event event;

    while (list && trace_read(trace_of(module), &event)) {
        PyObject *item = Py_BuildValue(
            "(LKiKL)", (long long)event.time_ns,
            (unsigned long long)event.thread, (int)event.kind,
            (unsigned long long)event.id, (long long)event.arg);

        if (!item || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyMethodDef trace_methods[] = {
    {"_trace_enable", enable, METH_O, "Switch tracing."},
    {"_trace_enabled", enabled, METH_NOARGS, "Whether tracing is on."},
    {"_trace_clear", clear, METH_NOARGS, "Forget what was recorded."},
    {"_trace_lost", lost, METH_NOARGS, "Events overwritten unread."},
    {"_trace_read", read_events, METH_NOARGS,
     "Take what was recorded: (time_ns, thread, kind, id, arg) each."},
    {NULL},
};

int py_trace_init(PyObject *module)
{
#define NAME(kind, name) name,
    static const char *const names[] = {TRACE_EVENTS(NAME)};
#undef NAME
    struct module_state *state = PyModule_GetState(module);
    PyObject *kinds = PyTuple_New(TRACE_KINDS);
    int ret = trace_init(&state->trace);

    if (ret < 0) {
        Py_XDECREF(kinds);
        raise_errno(ret);
        return -1;
    }
    state->trace_ready = true;
    for (int i = 0; kinds && i < TRACE_KINDS; i++) {
        PyObject *name = PyUnicode_InternFromString(names[i]);

        PyTuple_SET_ITEM(kinds, i, name);
        if (!name) {
            Py_CLEAR(kinds);
        }
    }
    ret = kinds ? PyModule_AddObjectRef(module, "_TRACE_KINDS", kinds) : -1;
    if (ret == 0) {
        ret = PyModule_AddFunctions(module, trace_methods);
    }
    Py_XDECREF(kinds);
    return ret;
}
