/* SPDX-License-Identifier: MIT
 *
 * See loop_ops.h: a Handle of asyncio, made and run.
 */
#include "loop/loop_ops.h"

#include <structmember.h>

/* Of a handle that is of one of the two classes. */
#define SLOT(ops, handle, name)                                                \
    (*(PyObject **)((char *)(handle) + (ops)->name##_at))

static int find_slot(PyTypeObject *handle, const char *name, Py_ssize_t *at)
{
    PyObject *slot = PyObject_GetAttrString((PyObject *)handle, name);

    if (!slot) {
        return -1;
    }
    *at = Py_IS_TYPE(slot, &PyMemberDescr_Type) && PyDescr_TYPE(slot) == handle
              ? ((PyMemberDescrObject *)slot)->d_member->offset
              : 0;
    Py_DECREF(slot);
    if (!*at) {
        PyErr_Format(PyExc_TypeError, "%s is no slot of %R", name, handle);
        return -1;
    }
    return 0;
}

int loop_find_slots(LoopOpsObject *ops)
{
    int ret = 0;

#define FIND(name)                                                             \
    ret = ret ? ret : find_slot(ops->handle, "_" #name, &ops->name##_at);
    HANDLE_SLOTS(FIND)
#undef FIND
    return ret;
}

PyObject *loop_make_handle(LoopOpsObject *ops, PyObject *const *args,
                           Py_ssize_t nargs)
{
    PyObject *context, *handle;

    if (nargs != 4) {
        PyErr_SetString(PyExc_TypeError,
                        "make_handle() needs callback, args, loop and context");
        return NULL;
    }
    context = args[3] == Py_None ? PyContext_CopyCurrent() : Py_NewRef(args[3]);
    handle = context ? ops->handle->tp_alloc(ops->handle, 0) : NULL;
    if (!handle) {
        Py_XDECREF(context);
        return NULL;
    }
    SLOT(ops, handle, callback) = Py_NewRef(args[0]);
    SLOT(ops, handle, args) = Py_NewRef(args[1]);
    SLOT(ops, handle, loop) = Py_NewRef(args[2]);
    SLOT(ops, handle, context) = context;
    SLOT(ops, handle, cancelled) = Py_NewRef(Py_False);
    SLOT(ops, handle, source_traceback) = Py_NewRef(Py_None);
    SLOT(ops, handle, repr) = Py_NewRef(Py_None);
    return handle;
}

/* Whether it has in its slots what asyncio puts there. */
static bool is_plain(const LoopOpsObject *ops, PyObject *handle)
{
    PyObject *callback, *args, *context;

    if (!Py_IS_TYPE(handle, ops->handle) &&
        !Py_IS_TYPE(handle, ops->timer_handle)) {
        return false;
    }
    callback = SLOT(ops, handle, callback);
    args = SLOT(ops, handle, args);
    context = SLOT(ops, handle, context);
    return callback && args && PyTuple_CheckExact(args) && context &&
           PyContext_CheckExact(context);
}

PyObject *loop_run_handle(LoopOpsObject *ops, PyObject *handle)
{
    PyObject *context, *callback, *args, *result = NULL;

    if (!is_plain(ops, handle)) {
        Py_RETURN_FALSE;
    }
    /* Its cancel() lets go of them. */
    context = Py_NewRef(SLOT(ops, handle, context));
    callback = Py_NewRef(SLOT(ops, handle, callback));
    args = Py_NewRef(SLOT(ops, handle, args));
    if (PyContext_Enter(context) == 0) {
        result = PyObject_Call(callback, args, NULL);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_DECREF(context);
    Py_DECREF(callback);
    Py_DECREF(args);
    if (!result) {
        return NULL;
    }
    Py_DECREF(result);
    Py_RETURN_TRUE;
}
