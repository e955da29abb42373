/* SPDX-License-Identifier: MIT
 *
 * See ready.h.
 */
#include "pool/ready.h"
#include "pool/pool_core.h"

typedef struct {
    PyObject_HEAD
    RequestObject *request;
} ReadyObject;

PyObject *ready_new(RequestObject *r)
{
    ReadyObject *self = PyObject_GC_New(ReadyObject,
                                        r->pool->state->ready_type);

    if (self) {
        self->request = (RequestObject *)Py_NewRef((PyObject *)r);
        PyObject_GC_Track(self);
    }
    return (PyObject *)self;
}

/* What a coroutine calls.  The result, or NULL with an exception. */
static PySendResult ready_send(ReadyObject *self, PyObject *Py_UNUSED(value),
                               PyObject **result)
{
    RequestObject *r = self->request;

    *result = NULL;
    if (!r || !r->outcome) {
        /* A collection has cleared it, or the request. */
        PyErr_SetString(PyExc_RuntimeError, "the outcome is gone");
        return PYGEN_ERROR;
    }
    if (r->base.work.raised) {
        PyErr_SetObject((PyObject *)Py_TYPE(r->outcome), r->outcome);
        return PYGEN_ERROR;
    }
    *result = Py_NewRef(r->outcome);
    return PYGEN_RETURN;
}

/* What others call: the result is what StopIteration says. */
static PyObject *ready_next(ReadyObject *self)
{
    PyObject *result, *stop;

    if (ready_send(self, NULL, &result) == PYGEN_ERROR) {
        return NULL;
    }
    stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    if (stop) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    Py_DECREF(result);
    return NULL;
}

static int ready_traverse(ReadyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->request);
    return 0;
}

static int ready_clear(ReadyObject *self)
{
    Py_CLEAR(self->request);
    return 0;
}

static void ready_dealloc(ReadyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    ready_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot ready_slots[] = {
    {Py_tp_doc, "What awaits a Request that was made done."},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ready_next},
    {Py_am_send, ready_send},
    {Py_tp_traverse, ready_traverse},
    {Py_tp_clear, ready_clear},
    {Py_tp_dealloc, ready_dealloc},
    {0, NULL},
};

PyType_Spec ready_spec = {
    .name = "tpool._core.Ready",
    .basicsize = sizeof(ReadyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ready_slots,
};
