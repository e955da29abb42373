/* SPDX-License-Identifier: MIT
 *
 * EventNotifier: an fd that any thread makes readable.
 */
#include "base/event_notifier.h"
#include "py/args.h"
#include "py/state.h"

typedef struct {
    PyObject_HEAD
    struct event_notifier notifier;
} NotifierObject;

static PyObject *notifier_new_args(PyTypeObject *type, PyObject *args,
                                   PyObject *kwargs)
{
    static char *names[] = {"active", NULL};
    NotifierObject *self;
    int active = 0, ret;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:EventNotifier", names,
                                     &active)) {
        return NULL;
    }
    self = (NotifierObject *)type->tp_alloc(type, 0);
    if (!self) {
        return NULL;
    }
    ret = event_notifier_init(&self->notifier, active);
    if (ret < 0) {
        Py_DECREF(self);
        return raise_errno(ret);
    }
    return (PyObject *)self;
}

static WITH_OWN_KEYWORDS(notifier_new, PyTypeObject)

    static void notifier_dealloc(NotifierObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    event_notifier_cleanup(&self->notifier);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool check_open(NotifierObject *self)
{
    if (self->notifier.rfd < 0) {
        PyErr_SetString(PyExc_RuntimeError, "the EventNotifier is closed");
        return false;
    }
    return true;
}

PyDoc_STRVAR(set_doc, "set($self, /)\n--\n\n"
                      "Make the fd readable, until test_and_clear().\n"
                      "\n"
                      "Raises:\n"
                      "    RuntimeError: It is closed.\n"
                      "\n"
                      "Context: Any thread, signal handlers included.\n"
                      "Source: QEMU's event_notifier_set().");

static PyObject *notifier_set(NotifierObject *self,
                              PyObject *Py_UNUSED(ignored))
{
    int ret = -1;

    Py_BEGIN_CRITICAL_SECTION(self); /* not beside a close() */
    if (check_open(self)) {
        ret = event_notifier_set(&self->notifier);
        if (ret < 0) {
            raise_errno(ret);
        }
    }
    Py_END_CRITICAL_SECTION();
    return none_or_null(ret);
}

PyDoc_STRVAR(test_and_clear_doc,
             "test_and_clear($self, /)\n--\n\n"
             "Make the fd unreadable; return whether it was readable.\n"
             "\n"
             "Raises:\n"
             "    RuntimeError: It is closed.\n"
             "\n"
             "Context: One thread at a time.\n"
             "Source: QEMU's event_notifier_test_and_clear().");

static PyObject *notifier_test_and_clear(NotifierObject *self,
                                         PyObject *Py_UNUSED(ignored))
{
    int value = -1;

    Py_BEGIN_CRITICAL_SECTION(self); /* not beside a close() */
    if (check_open(self)) {
        value = event_notifier_test_and_clear(&self->notifier);
    }
    Py_END_CRITICAL_SECTION();
    return value < 0 ? NULL : PyBool_FromLong(value);
}

PyDoc_STRVAR(fileno_doc, "fileno($self, /)\n--\n\n"
                         "The fd to wait on, for reading.\n"
                         "\n"
                         "Raises:\n"
                         "    RuntimeError: It is closed.");

static PyObject *notifier_fileno(NotifierObject *self,
                                 PyObject *Py_UNUSED(ignored))
{
    int fd = -1;

    Py_BEGIN_CRITICAL_SECTION(self); /* not beside a close() */
    if (check_open(self)) {
        fd = self->notifier.rfd;
    }
    Py_END_CRITICAL_SECTION();
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
                        "Close the fd; nobody may be using it. May be called\n"
                        "twice.");

static PyObject *notifier_close(NotifierObject *self,
                                PyObject *Py_UNUSED(ignored))
{
    Py_BEGIN_CRITICAL_SECTION(self);
    event_notifier_cleanup(&self->notifier);
    Py_END_CRITICAL_SECTION();
    Py_RETURN_NONE;
}

static PyMethodDef notifier_methods[] = {
    METHOD("set", notifier_set, METH_NOARGS, set_doc),
    METHOD("test_and_clear", notifier_test_and_clear, METH_NOARGS,
           test_and_clear_doc),
    METHOD("fileno", notifier_fileno, METH_NOARGS, fileno_doc),
    METHOD("close", notifier_close, METH_NOARGS, close_doc),
    {NULL},
};

static PyType_Slot notifier_slots[] = {
    {Py_tp_doc, "EventNotifier(active=False)\n--\n\n"
                "An fd that any thread makes readable: an eventfd, or a pipe.\n"
                "\n"
                "Args:\n"
                "    active: Whether it is readable at once.\n"
                "\n"
                "Raises:\n"
                "    OSError: The system gives no fd.\n"
                "\n"
                "Source: QEMU's EventNotifier."},
    {Py_tp_new, notifier_new},
    {Py_tp_dealloc, notifier_dealloc},
    {Py_tp_methods, notifier_methods},
    {0, NULL},
};

PyType_Spec notifier_spec = {
    .name = "tpool.EventNotifier",
    .basicsize = sizeof(NotifierObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = notifier_slots,
};
