/* SPDX-License-Identifier: MIT
 *
 * Module tpool._core: multi-phase init, and what belongs to no type.
 */
#include "base/cpu.h"
#include "tune/poll_tuner.h"
#include "py/args.h"
#include "py/state.h"

static int add_exception(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    state->pool_full = PyErr_NewExceptionWithDoc(
        "tpool.PoolFull",
        "A ThreadPool has max_pending requests that wait for a thread.",
        PyExc_RuntimeError, NULL);
    return state->pool_full
               ? PyModule_AddObjectRef(module, "PoolFull", state->pool_full)
               : -1;
}

/* In the child of a fork, before the hooks of the modules that import this one. */
static PyObject *after_fork(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = PyModule_GetState(module);

    /* Relaxed: a child has one thread. */
    atomic_fetch_add_explicit(&state->forks, 1, memory_order_relaxed);
    trace_after_fork(&state->trace);
    word_pollers_init(&state->pollers);
    Py_RETURN_NONE;
}

/* Not a function of the module: whoever calls it says that this is a child. */
static int register_fork_hook(PyObject *module)
{
    static PyMethodDef hook = {"_after_fork", after_fork, METH_NOARGS, NULL};
    PyObject *os = PyImport_ImportModule("os"), *result = NULL;
    PyObject *args = PyTuple_New(0), *kwargs = NULL, *register_at_fork = NULL;

    if (os && args) {
        kwargs = Py_BuildValue("{sN}", "after_in_child",
                               PyCFunction_New(&hook, module));
        register_at_fork = PyObject_GetAttrString(os, "register_at_fork");
    }
    if (kwargs && register_at_fork) {
        result = PyObject_Call(register_at_fork, args, kwargs);
    }
    Py_XDECREF(os);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    Py_XDECREF(register_at_fork);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type ? PyModule_AddType(module, *type) : -1;
}

static int intern(const char *name, PyObject **string)
{
    *string = PyUnicode_InternFromString(name);
    return *string ? 0 : -1;
}

static int add_types_and_names(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    int ret = 0;

#define ADD(name)                                                              \
    ret = ret ? ret : add_type(module, &name##_spec, &state->name##_type);
    STATE_TYPES(ADD)
#undef ADD
#define INTERN(name) ret = ret ? ret : intern(#name, &state->str_##name);
    STATE_NAMES(INTERN)
#undef INTERN
    return ret;
}

static int module_exec(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    word_pollers_init(&state->pollers);
    if (py_pools_init(module) < 0 || py_wrap_init(module) < 0 ||
        py_open_init(module) < 0 || py_trace_init(module) < 0 ||
        add_exception(module) < 0 || add_types_and_names(module) < 0 ||
        py_callable_init(module) < 0 || py_signals_init(module) < 0 ||
        py_simple_queue_init(module) < 0 || register_fork_hook(module) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "POLL_MAX_NS_DEFAULT",
                                   POLL_MAX_NS_DEFAULT);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = PyModule_GetState(module);

#define VISIT(name) Py_VISIT(state->name##_type);
    STATE_TYPES(VISIT)
#undef VISIT
    Py_VISIT(state->pool_full);
    Py_VISIT(state->queue_empty);
    Py_VISIT(state->partial_type);
    Py_VISIT(state->set_wakeup_fd);
    Py_VISIT(
        atomic_load_explicit(&state->decimal_variable, memory_order_relaxed));
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

#define CLEAR_TYPE(name) Py_CLEAR(state->name##_type);
    STATE_TYPES(CLEAR_TYPE)
#undef CLEAR_TYPE
#define CLEAR_NAME(name) Py_CLEAR(state->str_##name);
    STATE_NAMES(CLEAR_NAME)
#undef CLEAR_NAME
    Py_CLEAR(state->pool_full);
    Py_CLEAR(state->queue_empty);
    Py_CLEAR(state->partial_type);
    Py_CLEAR(state->set_wakeup_fd);
    Py_XDECREF(atomic_exchange_explicit(&state->decimal_variable, NULL,
                                        memory_order_relaxed));
    return 0;
}

static void module_free(void *module)
{
    struct module_state *state = PyModule_GetState((PyObject *)module);

    module_clear((PyObject *)module);
    if (state->trace_ready) {
        trace_cleanup(&state->trace);
    }
}

static PyObject *cpus_usable(PyObject *Py_UNUSED(module),
                             PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(cpu_usable());
}

/* Before 3.14 CPython marks it where the code is left, then where it is printed. */
static PyObject *mark_interrupted(PyObject *Py_UNUSED(module),
                                  PyObject *Py_UNUSED(ignored))
{
    PyRun_SimpleString("raise KeyboardInterrupt");
    Py_RETURN_NONE;
}

static PyObject *default_poll_max_ns(PyObject *Py_UNUSED(module),
                                     PyObject *otherwise)
{
    int64_t ns;

    if (arg_int(otherwise, "otherwise", 0, INT64_MAX, &ns) < 0 ||
        args_poll_max_ns(&ns) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(ns);
}

static PyMethodDef module_methods[] = {
    {"_default_poll_max_ns", default_poll_max_ns, METH_O,
     "_default_poll_max_ns($module, otherwise, /)\n--\n\n"
     "What TPOOL_POLL_MAX_NS says, or otherwise."},
    {"cpus_usable", cpus_usable, METH_NOARGS,
     "cpus_usable($module, /)\n--\n\n"
     "CPUs that the calling thread may use at once: its affinity mask, bounded\n"
     "by the quota of its control group."},
    {"_mark_interrupted", mark_interrupted, METH_NOARGS,
     "_mark_interrupted($module, /)\n--\n\n"
     "Have CPython end its process by SIGINT, when all else is done: it does so\n"
     "if the last code that it ran from a string, such as that of -c, was left by\n"
     "a KeyboardInterrupt. That is one, and goes to sys.excepthook."},
    {NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

struct PyModuleDef tpool_core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tpool._core",
    .m_doc = "The part of tpool that is in C.",
    .m_size = sizeof(struct module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&tpool_core_module);
}
