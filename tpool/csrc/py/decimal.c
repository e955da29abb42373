/* SPDX-License-Identifier: MIT
 *
 * See decimal.h.
 */
#include "py/decimal.h"

/* The module, if it is loaded: a new reference.  Else NULL, with no exception. */
static PyObject *loaded_module(struct module_state *state)
{
    PyObject *modules = PyImport_GetModuleDict(), *module;

#if PY_VERSION_HEX >= 0x030D0000
    if (PyDict_GetItemRef(modules, state->str_decimal, &module) < 0) {
        PyErr_Clear();
    }
#else
    module = Py_XNewRef(PyDict_GetItemWithError(modules, state->str_decimal));
#endif
    return module;
}

/* The only variable that is set among variables; None: there is no such one. */
static PyObject *only_variable(PyObject *variables)
{
    PyObject *list = PySequence_List(variables), *only = NULL;

    if (list) {
        only = Py_NewRef(PyList_GET_SIZE(list) == 1 ? PyList_GET_ITEM(list, 0)
                                                    : Py_None);
        Py_DECREF(list);
    }
    return only;
}

/*
 * decimal does not tell the name of its variable, but sets it when it is first asked
 * for its context.  NULL where it cannot be asked yet, or a signal handler has raised.
 */
static PyObject *find_variable(PyObject *module)
{
    PyObject *variables = PyContext_New(), *context = NULL, *found = NULL;

    if (variables && PyContext_Enter(variables) == 0) {
        context = PyObject_CallMethod(module, "getcontext", NULL);
        if (PyContext_Exit(variables) == 0 && context) {
            found = only_variable(variables);
        }
    }
    if (PyErr_Occurred() && !exception_is_fatal()) {
        PyErr_Clear(); /* it is being imported, say: another time */
    }
    Py_XDECREF(context);
    Py_XDECREF(variables);
    return found;
}

/* A borrowed reference, or NULL: with an exception, or as it is not loaded. */
static PyObject *variable(struct module_state *state)
{
    /* Acquire: pairs with the exchange below. */
    PyObject *known = atomic_load_explicit(&state->decimal_variable,
                                           memory_order_acquire);
    PyObject *module, *found = NULL;

    if (known) {
        return known;
    }
    module = loaded_module(state);
    if (!module) {
        return NULL;
    }
    found = find_variable(module);
    Py_DECREF(module);
    if (found && !atomic_compare_exchange_strong_explicit(
                     &state->decimal_variable, &known, found,
                     memory_order_acq_rel, memory_order_acquire)) {
        Py_DECREF(found); /* another thread has found it too */
        found = known;
    }
    return found;
}

static int set_in(PyObject *variables, PyObject *var, PyObject *value)
{
    PyObject *token;

    if (PyContext_Enter(variables) < 0) {
        return -1;
    }
    token = PyContextVar_Set(var, value);
    Py_XDECREF(token);
    return PyContext_Exit(variables) < 0 || !token ? -1 : 0;
}

int decimal_unshare(struct module_state *state, PyObject *variables)
{
    PyObject *var, *value, *copy;
    int ret;

    if (PyObject_Size(variables) == 0) {
        return 0;
    }
    var = variable(state);
    if (!var) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!PyContextVar_CheckExact(var)) {
        return 0; /* it has none */
    }
    if (PyContextVar_Get(var, NULL, &value) < 0) {
        return -1;
    }
    if (!value) {
        return 0;
    }
    copy = PyObject_CallMethodNoArgs(value, state->str_copy);
    Py_DECREF(value);
    if (!copy) {
        return -1;
    }
    ret = set_in(variables, var, copy);
    Py_DECREF(copy);
    return ret;
}
