/* SPDX-License-Identifier: MIT
 *
 * The type Ring: its arguments, and what the collector asks of it.
 */
#include "ring/ring_object.h"
#include "ring/ring_doc.h"
#include "ring/ring_view.h"
#include "py/args.h"

#include <structmember.h>

static int raise_open_error(int err)
{
    if (err == -EINVAL) {
        PyErr_Format(PyExc_ValueError,
                     "no room for a Ring: it takes %zu bytes for one reader, "
                     "%zu for each other, aligned to %d",
                     ring_memory_length(1, RING_SIZE_MIN),
                     sizeof(struct ring_place), CACHE_LINE);
    } else {
        PyErr_SetString(PyExc_ValueError,
                        err == -EPROTONOSUPPORT
                            ? "the Ring in the buffer is of another version"
                            : "there is no Ring in the buffer");
    }
    return -1;
}

static int open_memory(RingObject *self, PyObject *buffer, int64_t readers)
{
    int ret = 0;

    if (PyObject_GetBuffer(buffer, &self->buffer, PyBUF_WRITABLE) < 0) {
        return -1;
    }
    if (readers) {
        ret = ring_memory_make(self->buffer.buf, (size_t)self->buffer.len,
                               (uint32_t)readers);
    }
    ret = ret ? ret
              : ring_memory_open(&self->memory, self->buffer.buf,
                                 (size_t)self->buffer.len);
    return ret ? raise_open_error(ret) : 0;
}

static int init_ring(RingObject *self, PyObject *buffer, PyObject *number)
{
    int64_t readers = 0;

    self->poll_max_ns = POLL_MAX_NS_DEFAULT;
    /* Relaxed: this process makes it. */
    self->forks = atomic_load_explicit(&self->state->forks,
                                       memory_order_relaxed);
    if (args_poll_max_ns(&self->poll_max_ns) < 0 ||
        (number != Py_None &&
         arg_int(number, "readers", 1, RING_READERS_MAX, &readers) < 0) ||
        ring_side_init(&self->writer, true) < 0 ||
        ring_side_init(&self->reader, false) < 0) {
        return -1;
    }
    return open_memory(self, buffer, readers);
}

static PyObject *ring_new_args(PyTypeObject *type, PyObject *args,
                               PyObject *kwargs)
{
    static char *names[] = {"buffer", "readers", NULL};
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    PyObject *buffer, *readers = Py_None;
    RingObject *self;

    if (!module || !PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Ring", names,
                                                &buffer, &readers)) {
        return NULL;
    }
    self = (RingObject *)type->tp_alloc(type, 0);
    if (!self) {
        return NULL;
    }
    self->state = PyModule_GetState(module);
    if (init_ring(self, buffer, readers) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static WITH_OWN_KEYWORDS(ring_new, PyTypeObject)

    static int ring_traverse(RingObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->buffer.obj);
    return 0;
}

static int ring_clear(RingObject *self)
{
    ring_close(self);
    return 0;
}

static void ring_dealloc(RingObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (self->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    ring_close(self);
    ring_side_cleanup(&self->writer);
    ring_side_cleanup(&self->reader);
    PyBuffer_Release(&self->buffer); /* a loop that has gone never let go */
    type->tp_free(self);
    Py_DECREF(type);
}

/* Once data is held: until it returns nobody changes its size. */
static int send_object(RingObject *self, PyObject *data, int64_t timeout_ns)
{
    Py_buffer view;
    int ret;

    if (PyBytes_CheckExact(data)) {
        return ring_send(self, PyBytes_AS_STRING(data),
                         (size_t)PyBytes_GET_SIZE(data), timeout_ns);
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    ret = ring_send(self, view.buf, (size_t)view.len, timeout_ns);
    PyBuffer_Release(&view);
    return ret;
}

static PyObject *raise_timeout(const char *what)
{
    PyErr_SetString(PyExc_TimeoutError, what);
    return NULL;
}

static PyObject *ring_send_method(RingObject *self, PyObject *const *args,
                                  Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"data", "timeout"};
    PyObject *values[] = {NULL, Py_None};
    int64_t timeout_ns = -1;
    int ret;

    if ((nargs != 1 || kwnames) &&
        (args_unpack("send", args, nargs, kwnames, names, 1, 2, values) < 0 ||
         arg_seconds(values[1], "timeout", &timeout_ns) < 0)) {
        return NULL;
    }
    ret = send_object(self, values[0] ? values[0] : args[0], timeout_ns);
    return ret == 0 ? raise_timeout("the Ring is full") : none_or_null(ret);
}

static PyObject *ring_try_send(RingObject *self, PyObject *data)
{
    int ret = send_object(self, data, 0);

    return ret < 0 ? NULL : PyBool_FromLong(ret);
}

typedef int receiver(RingObject *self, PyObject **message, int64_t timeout_ns);

static PyObject *receive(RingObject *self, const char *name, receiver *recv,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *value = Py_None, *message;
    int64_t timeout_ns = -1;

    if ((nargs || kwnames) &&
        (args_unpack(name, args, nargs, kwnames, names, 0, 1, &value) < 0 ||
         arg_seconds(value, "timeout", &timeout_ns) < 0)) {
        return NULL;
    }
    return recv(self, &message, timeout_ns) == 0
               ? raise_timeout("the Ring is empty")
               : message;
}

static PyObject *ring_recv_method(RingObject *self, PyObject *const *args,
                                  Py_ssize_t nargs, PyObject *kwnames)
{
    return receive(self, "recv", ring_recv, args, nargs, kwnames);
}

static PyObject *ring_recv_view_method(RingObject *self, PyObject *const *args,
                                       Py_ssize_t nargs, PyObject *kwnames)
{
    return receive(self, "recv_view", ring_recv_view, args, nargs, kwnames);
}

static PyObject *ring_try_recv(RingObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *message;

    return ring_recv(self, &message, 0) == 0 ? Py_NewRef(Py_None) : message;
}

static PyObject *ring_close_method(RingObject *self,
                                   PyObject *Py_UNUSED(ignored))
{
    ring_close(self);
    Py_RETURN_NONE;
}

/* Whether the side is the writer's: what those below are told. */
static int parse_writes(PyObject *value, bool *writes)
{
    int ret = PyObject_IsTrue(value);

    *writes = ret > 0;
    return ret < 0 ? -1 : 0;
}

static PyObject *ring_hold_method(RingObject *self, PyObject *value)
{
    bool writes;
    int fd = parse_writes(value, &writes) < 0 ? -1 : ring_hold(self, writes);

    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

static PyObject *ring_let_go_method(RingObject *self, PyObject *value)
{
    bool writes;

    if (parse_writes(value, &writes) < 0) {
        return NULL;
    }
    ring_let_go(self, writes);
    Py_RETURN_NONE;
}

static PyObject *ring_arm_method(RingObject *self, PyObject *value)
{
    bool writes;
    int ret = parse_writes(value, &writes) < 0 ? -1 : ring_arm(self, writes);

    return ret < 0 ? NULL : PyBool_FromLong(ret);
}

static PyObject *ring_disarm_method(RingObject *self, PyObject *value)
{
    bool writes;

    return none_or_null(
        parse_writes(value, &writes) < 0 ? -1 : ring_disarm(self, writes));
}

static PyObject *ring_check_method(RingObject *self, PyObject *value)
{
    bool writes;

    return none_or_null(
        parse_writes(value, &writes) < 0 ? -1 : ring_check(self, writes));
}

static PyObject *ring_has_moved_method(RingObject *self, PyObject *value)
{
    bool writes;
    int ret = parse_writes(value, &writes) < 0 ? -1
                                               : ring_has_moved(self, writes);

    return ret < 0 ? NULL : PyBool_FromLong(ret);
}

static PyMethodDef ring_methods[] = {
    METHOD("send", ring_send_method, METH_FASTCALL | METH_KEYWORDS, send_doc),
    METHOD("try_send", ring_try_send, METH_O, try_send_doc),
    METHOD("recv", ring_recv_method, METH_FASTCALL | METH_KEYWORDS, recv_doc),
    METHOD("recv_view", ring_recv_view_method, METH_FASTCALL | METH_KEYWORDS,
           recv_view_doc),
    METHOD("try_recv", ring_try_recv, METH_NOARGS, try_recv_doc),
    METHOD("close", ring_close_method, METH_NOARGS, close_doc),
    METHOD("_hold", ring_hold_method, METH_O, hold_doc),
    METHOD("_let_go", ring_let_go_method, METH_O, let_go_doc),
    METHOD("_arm", ring_arm_method, METH_O, arm_doc),
    METHOD("_disarm", ring_disarm_method, METH_O, disarm_doc),
    METHOD("_check", ring_check_method, METH_O, check_doc),
    METHOD("_has_moved", ring_has_moved_method, METH_O, has_moved_doc),
    {NULL},
};

static PyObject *get_size(RingObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->memory.size);
}

static PyObject *get_readers(RingObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(self->memory.readers);
}

static PyObject *get_message_max(RingObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(ring_message_max(&self->memory));
}

static PyObject *get_closed(RingObject *self, void *Py_UNUSED(closure))
{
    bool closed;

    Py_BEGIN_CRITICAL_SECTION(self);
    closed = self->closed;
    Py_END_CRITICAL_SECTION();
    return PyBool_FromLong(closed);
}

static PyObject *get_wakeups(RingObject *self, void *Py_UNUSED(closure))
{
    uint64_t n;

    Py_BEGIN_CRITICAL_SECTION(self);
    n = self->writer.end.rings + self->reader.end.rings;
    Py_END_CRITICAL_SECTION();
    return PyLong_FromUnsignedLongLong(n);
}

static PyObject *get_sleeps(RingObject *self, void *Py_UNUSED(closure))
{
    uint64_t n;

    Py_BEGIN_CRITICAL_SECTION(self);
    n = self->writer.end.sleeps + self->reader.end.sleeps;
    Py_END_CRITICAL_SECTION();
    return PyLong_FromUnsignedLongLong(n);
}

static PyGetSetDef ring_getset[] = {
    {"size", (getter)get_size, NULL, size_doc, NULL},
    {"readers", (getter)get_readers, NULL, readers_doc, NULL},
    {"message_max", (getter)get_message_max, NULL, message_max_doc, NULL},
    {"closed", (getter)get_closed, NULL, closed_doc, NULL},
    {"wakeups", (getter)get_wakeups, NULL, wakeups_doc, NULL},
    {"sleeps", (getter)get_sleeps, NULL, sleeps_doc, NULL},
    {NULL},
};

static PyMemberDef ring_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RingObject, weakrefs), READONLY,
     NULL},
    {NULL},
};

static PyType_Slot ring_slots[] = {
    {Py_tp_doc, (void *)ring_doc}, {Py_tp_new, ring_new},
    {Py_tp_init, init_nothing},    {Py_tp_traverse, ring_traverse},
    {Py_tp_clear, ring_clear},     {Py_tp_dealloc, ring_dealloc},
    {Py_tp_methods, ring_methods}, {Py_tp_getset, ring_getset},
    {Py_tp_members, ring_members}, {0, NULL},
};

PyType_Spec ring_spec = {
    .name = "tpool._core.Ring",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ring_slots,
};
