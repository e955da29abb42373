/* SPDX-License-Identifier: MIT
 *
 * See ring_view.h.  The memory stays for as long as it, whatever becomes of the ring.
 */
#include "ring/ring_view.h"

typedef struct {
    PyObject_HEAD
    RingObject *ring;
    Py_buffer memory;
    struct ring_message message;
    uint64_t number; /* 0: it has no message */
} ViewObject;

static int view_getbuffer(ViewObject *self, Py_buffer *buffer, int flags)
{
    return PyBuffer_FillInfo(buffer, (PyObject *)self,
                             (void *)self->message.data,
                             (Py_ssize_t)self->message.length, 1, flags);
}

static int view_traverse(ViewObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->ring);
    Py_VISIT(self->memory.obj);
    return 0;
}

static void view_dealloc(ViewObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (self->number) {
        ring_pass(self->ring, &self->message, self->number);
    }
    PyBuffer_Release(&self->memory);
    Py_DECREF(self->ring);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

int ring_recv_view(RingObject *self, PyObject **view, int64_t timeout_ns)
{
    ViewObject *v = PyObject_GC_New(ViewObject, self->state->ring_view_type);
    int ret;

    *view = NULL;
    if (!v) {
        return -1;
    }
    v->ring = (RingObject *)Py_NewRef((PyObject *)self);
    v->memory = (Py_buffer){NULL};
    v->number = 0;
    ret = ring_pin(self, &v->memory);
    ret = ret < 0 ? ret : ring_front(self, &v->message, &v->number, timeout_ns);
    if (ret == 1) {
        PyObject_GC_Track(v); /* not before: who finds it may look into it */
        *view = PyMemoryView_FromObject((PyObject *)v);
        ret = *view ? 1 : -1;
    }
    Py_DECREF(v); /* the memoryview has it, or nobody */
    return ret;
}

static PyType_Slot view_slots[] = {
    {Py_tp_doc, "A message as it lies in a Ring; see Ring.recv_view()."},
    {Py_tp_traverse, view_traverse},
    {Py_tp_dealloc, view_dealloc},
    {Py_bf_getbuffer, view_getbuffer},
    {0, NULL},
};

PyType_Spec ring_view_spec = {
    .name = "tpool._core.RingView",
    .basicsize = sizeof(ViewObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = view_slots,
};
