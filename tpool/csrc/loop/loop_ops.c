/* SPDX-License-Identifier: MIT
 *
 * The type LoopOps; see loop_ops.h.
 */
#include "loop/loop_ops.h"

static int begin(LoopOpsObject *ops)
{
    if (!PyType_IsSubtype(ops->timer_handle, ops->handle)) {
        PyErr_Format(PyExc_TypeError, "%R is no kind of %R", ops->timer_handle,
                     ops->handle);
        return -1;
    }
    return loop_find_slots(ops);
}

static PyObject *loop_ops_new(PyTypeObject *type, PyObject *args,
                              PyObject *Py_UNUSED(kwargs))
{
    PyObject *handle, *timer_handle, *get_running_loop, *settle;
    LoopOpsObject *ops;

    if (!PyArg_ParseTuple(args, "O!O!OO:LoopOps", &PyType_Type, &handle,
                          &PyType_Type, &timer_handle, &get_running_loop,
                          &settle)) {
        return NULL;
    }
    ops = (LoopOpsObject *)type->tp_alloc(type, 0);
    if (ops) {
        ops->state = PyType_GetModuleState(type);
        ops->handle = (PyTypeObject *)Py_NewRef(handle);
        ops->timer_handle = (PyTypeObject *)Py_NewRef(timer_handle);
        ops->get_running_loop = Py_NewRef(get_running_loop);
        ops->settle = Py_NewRef(settle);
        if (begin(ops) < 0) {
            Py_CLEAR(ops);
        }
    }
    return (PyObject *)ops;
}

/* No tp_clear: it is immutable, and others break its circles. */
static int loop_ops_traverse(LoopOpsObject *ops, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(ops));
    Py_VISIT(ops->handle);
    Py_VISIT(ops->timer_handle);
    Py_VISIT(ops->get_running_loop);
    Py_VISIT(ops->settle);
    return 0;
}

static void loop_ops_dealloc(LoopOpsObject *ops)
{
    PyTypeObject *type = Py_TYPE(ops);

    PyObject_GC_UnTrack(ops);
    Py_DECREF(ops->handle);
    Py_DECREF(ops->timer_handle);
    Py_DECREF(ops->get_running_loop);
    Py_DECREF(ops->settle);
    type->tp_free(ops);
    Py_DECREF(type);
}

static PyMethodDef loop_ops_methods[] = {
#ifndef Py_GIL_DISABLED
    METHOD("make_handle", loop_make_handle, METH_FASTCALL,
           "make_handle($self, callback, args, loop, context, /)\n--\n\n"
           "Do what Handle(callback, args, loop, context) does, unless in\n"
           "debug mode."),
    METHOD("run_handle", loop_run_handle, METH_O,
           "run_handle($self, handle, /)\n--\n\n"
           "Do what its _run() does, but raise what the callback raises.\n"
           "False: nothing was done, for it is no handle as asyncio makes it."),
#endif
    METHOD("settle", loop_settle, METH_FASTCALL,
           "settle($self, request, future, /)\n--\n\n"
           "As tpool.loop.futures.settle()."),
    {NULL},
};

static PyType_Slot loop_ops_slots[] = {
    {Py_tp_doc, "LoopOps(handle, timer_handle, get_running_loop, settle, /)\n"
                "--\n\n"
                "What an event loop does most often, by what of asyncio it\n"
                "stands for; an EventLoop's thread."},
    {Py_tp_new, loop_ops_new},
    {Py_tp_traverse, loop_ops_traverse},
    {Py_tp_dealloc, loop_ops_dealloc},
    {Py_tp_methods, loop_ops_methods},
    {0, NULL},
};

PyType_Spec loop_ops_spec = {
    .name = "tpool._core.LoopOps",
    .basicsize = sizeof(LoopOpsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = loop_ops_slots,
};
