/* SPDX-License-Identifier: MIT
 *
 * See callable.h.
 */
#include "pool/callable.h"

/* Partial objects of partial objects, and methods: as deep as anybody goes. */
#define UNWRAP_MAX 4

/* A new reference to what a partial object calls, or NULL. */
static PyObject *partial_fn(struct module_state *state, PyObject *partial)
{
    PyObject *fn = PyObject_GetAttr(partial, state->str_func), *args;

    if (!fn || !PyCFunction_Check(fn) || !PyCFunction_GET_SELF(fn) ||
        !PyContext_CheckExact(PyCFunction_GET_SELF(fn))) {
        return fn;
    }
    /* asyncio.to_thread(): Context.run(callable, ...). */
    args = PyObject_GetAttr(partial, state->str_args);
    if (!args) {
        PyErr_Clear();
    } else if (PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0) {
        Py_SETREF(fn, Py_NewRef(PyTuple_GET_ITEM(args, 0)));
    }
    Py_XDECREF(args);
    return fn;
}

uintptr_t callable_key(struct module_state *state, PyObject *fn)
{
    PyObject *owned = NULL;
    uintptr_t key = 0;

    for (int i = 0; i < UNWRAP_MAX && fn; i++) {
        if (PyMethod_Check(fn)) {
            fn = PyMethod_GET_FUNCTION(fn);
        } else if (Py_IS_TYPE(fn, state->partial_type)) {
            fn = partial_fn(state, fn);
            Py_XSETREF(owned, fn);
        } else {
            break;
        }
    }
    if (!fn) {
        PyErr_Clear(); /* a partial object has both; no more is known, then */
    } else if (PyFunction_Check(fn)) {
        key = (uintptr_t)PyFunction_GET_CODE(fn);
    } else if (PyCFunction_Check(fn)) {
        key = (uintptr_t)((PyCFunctionObject *)fn)->m_ml;
    } else {
        key = (uintptr_t)(PyType_Check(fn) ? (PyTypeObject *)fn : Py_TYPE(fn));
    }
    Py_XDECREF(owned);
    return key ? key : 1;
}

int py_callable_init(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *functools = PyImport_ImportModule("functools");

    if (!functools) {
        return -1;
    }
    state->partial_type = (PyTypeObject *)PyObject_GetAttrString(functools,
                                                                 "partial");
    Py_DECREF(functools);
    return state->partial_type ? 0 : -1;
}
