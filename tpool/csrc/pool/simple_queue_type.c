/* SPDX-License-Identifier: MIT
 *
 * The type SimpleQueue: its arguments, and what the collector asks of it.
 */
#include "pool/simple_queue.h"
#include "py/args.h"

#include <structmember.h>

/* Arguments are for queue_init(), or that of a subclass. */
static PyObject *queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    SimpleQueueObject *self;
    int64_t poll_max_ns = POLL_MAX_NS_DEFAULT;

    if (!module) {
        return NULL; /* a metaclass has left the type out of the mro() */
    }
    if (args_poll_max_ns(&poll_max_ns) < 0) {
        return NULL;
    }
    self = (SimpleQueueObject *)type->tp_alloc(type, 0);
    if (self) {
        simple_queue_init(self, PyModule_GetState(module), poll_max_ns);
    }
    return (PyObject *)self;
}

static int queue_init(PyObject *Py_UNUSED(self), PyObject *args,
                      PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) || (kwargs && PyDict_GET_SIZE(kwargs))) {
        PyErr_SetString(PyExc_TypeError, "SimpleQueue() takes no arguments");
        return -1;
    }
    return 0;
}

static int queue_traverse(SimpleQueueObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (size_t i = 0; i < self->items.count; i++) {
        PyObject *item = *ring_slot(&self->items, i);

        Py_VISIT(item);
    }
    return 0;
}

/* Not what they put into it as they go. */
static int queue_clear(SimpleQueueObject *self)
{
    for (size_t n = simple_queue_count(self); n; n--) {
        Py_XDECREF(simple_queue_pop(self));
    }
    return 0;
}

static void queue_dealloc(SimpleQueueObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (self->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    /* A queue may hold a queue that holds one, and so on: they go one by one. */
    Py_TRASHCAN_BEGIN(self, queue_dealloc) queue_clear(self);
    simple_queue_cleanup(self);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

SELDOM static PyObject *put_any(SimpleQueueObject *self, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"item", "block", "timeout"};
    PyObject *values[] = {NULL, NULL, NULL};

    if (args_unpack("put", args, nargs, kwnames, names, 1, 3, values) < 0) {
        return NULL;
    }
    return none_or_null(simple_queue_put(self, values[0]));
}

static PyObject *queue_put(SimpleQueueObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs == 1 && !kwnames) {
        return none_or_null(simple_queue_put(self, args[0]));
    }
    return put_any(self, args, nargs, kwnames);
}

static PyObject *queue_put_nowait(SimpleQueueObject *self,
                                  PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *kwnames)
{
    static const char *const names[] = {"item"};
    PyObject *item = NULL;

    if (args_unpack("put_nowait", args, nargs, kwnames, names, 1, 1, &item) <
        0) {
        return NULL;
    }
    return none_or_null(simple_queue_put(self, item));
}

/* The standard library's words for what is below 0, and its exception. */
static int parse_timeout(PyObject *value, int64_t *timeout_ns)
{
    bool negative = PyFloat_Check(value) && PyFloat_AS_DOUBLE(value) < 0;
    int overflow;

    if (PyLong_Check(value)) {
        long long whole = PyLong_AsLongLongAndOverflow(value, &overflow);

        negative = overflow ? overflow < 0 : whole < 0;
    }
    if (negative) {
        PyErr_SetString(PyExc_ValueError,
                        "'timeout' must be a non-negative number");
        return -1;
    }
    return arg_seconds(value, "timeout", timeout_ns);
}

SELDOM static PyObject *get_any(SimpleQueueObject *self, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"block", "timeout"};
    PyObject *values[] = {Py_True, Py_None};
    int64_t timeout_ns = -1;
    int block;

    if (args_unpack("get", args, nargs, kwnames, names, 0, 2, values) < 0) {
        return NULL;
    }
    block = PyObject_IsTrue(values[0]);
    if (block < 0 || (block && parse_timeout(values[1], &timeout_ns) < 0)) {
        return NULL;
    }
    return simple_queue_get(self, block, timeout_ns);
}

static PyObject *queue_get(SimpleQueueObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    if (!nargs && !kwnames) {
        return simple_queue_get(self, true, -1);
    }
    return get_any(self, args, nargs, kwnames);
}

static PyObject *queue_get_nowait(SimpleQueueObject *self,
                                  PyObject *Py_UNUSED(ignored))
{
    return simple_queue_get(self, false, 0);
}

static PyObject *queue_empty(SimpleQueueObject *self,
                             PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(simple_queue_count(self) == 0);
}

static PyObject *queue_qsize(SimpleQueueObject *self,
                             PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(simple_queue_count(self));
}

static PyObject *queue_reduce(PyObject *Py_UNUSED(self),
                              PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "a SimpleQueue cannot be pickled: it belongs to the "
                    "threads of a process");
    return NULL;
}

PyDoc_STRVAR(
    queue_doc,
    "SimpleQueue()\n--\n\n"
    "An unbounded queue from any threads to any others, the oldest object first.\n"
    "\n"
    "It does what queue.SimpleQueue does, and is used in its place. But get(),\n"
    "where it has to wait, polls for a while without the GIL before it sleeps: two\n"
    "threads that answer each other need no wake-ups, which take up to 50\n"
    "microseconds each. How long it polls is learned from the waits before, 32768\n"
    "ns at most, or what the environment variable TPOOL_POLL_MAX_NS says (0: it\n"
    "never does); one wait in eight may be longer, until who puts is awake. Where\n"
    "objects come seldom it sleeps at once. One thread at a time polls in a queue,\n"
    "and in all queues fewer threads than there are CPUs.\n"
    "\n"
    "Objects that one thread puts come out in its order. In the child of a fork the\n"
    "queue has the objects that it had, and goes on.\n"
    "\n"
    "Raises:\n"
    "    ValueError: TPOOL_POLL_MAX_NS is no number.\n"
    "\n"
    "Context: Any thread. A subclass that takes arguments overrides __init__().");

PyDoc_STRVAR(
    put_doc,
    "put($self, /, item, block=True, timeout=None)\n--\n\n"
    "Put an object into the queue. It never blocks.\n"
    "\n"
    "Args:\n"
    "    item: Any object.\n"
    "    block: Not looked at, as timeout; for code that has a queue.Queue.\n"
    "\n"
    "Raises:\n"
    "    MemoryError: There is none left; the object is not in the queue.\n"
    "\n"
    "Context: Any thread; also a signal handler, __del__() and a callback\n"
    "    of a weakref, in the middle of any method of the queue.");

PyDoc_STRVAR(put_nowait_doc, "put_nowait($self, /, item)\n--\n\n"
                             "The same as put(item), for code that has a\n"
                             "queue.Queue.\n"
                             "\n"
                             "Raises:\n"
                             "    MemoryError: As there.\n"
                             "\n"
                             "Context: As there.");

PyDoc_STRVAR(
    get_doc,
    "get($self, /, block=True, timeout=None)\n--\n\n"
    "Take the oldest object out of the queue, and return it.\n"
    "\n"
    "Where there is none it polls for one, without the GIL, for as long\n"
    "as that has paid of late, and then sleeps.\n"
    "\n"
    "Args:\n"
    "    block: Whether to wait for one.\n"
    "    timeout: How long at most, seconds; None: for ever. Not looked\n"
    "        at where it does not block.\n"
    "\n"
    "Raises:\n"
    "    queue.Empty: There was none in that time.\n"
    "    ValueError: The timeout is negative, or not a number (NaN).\n"
    "    TypeError: The timeout is no number.\n"
    "\n"
    "Context: Any thread. In the main thread the handlers of signals run\n"
    "    meanwhile; what one raises, as Ctrl-C does, get() raises, and\n"
    "    takes no object.");

PyDoc_STRVAR(get_nowait_doc, "get_nowait($self, /)\n--\n\n"
                             "The same as get(block=False).\n"
                             "\n"
                             "Raises:\n"
                             "    queue.Empty: There is no object.\n"
                             "\n"
                             "Context: Any thread.");

PyDoc_STRVAR(
    empty_doc,
    "empty($self, /)\n--\n\n"
    "Whether there is no object in the queue. It may not be so any more\n"
    "when that is read.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    qsize_doc,
    "qsize($self, /)\n--\n\n"
    "How many objects are in the queue. It may not be so any more when\n"
    "that is read.\n"
    "\n"
    "Context: Any thread.");

static PyMethodDef queue_methods[] = {
    METHOD("put", queue_put, METH_FASTCALL | METH_KEYWORDS, put_doc),
    METHOD("put_nowait", queue_put_nowait, METH_FASTCALL | METH_KEYWORDS,
           put_nowait_doc),
    METHOD("get", queue_get, METH_FASTCALL | METH_KEYWORDS, get_doc),
    METHOD("get_nowait", queue_get_nowait, METH_NOARGS, get_nowait_doc),
    METHOD("empty", queue_empty, METH_NOARGS, empty_doc),
    METHOD("qsize", queue_qsize, METH_NOARGS, qsize_doc),
    METHOD("__reduce__", queue_reduce, METH_NOARGS, NULL),
    METHOD("__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL),
    {NULL},
};

static PyMemberDef queue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SimpleQueueObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_doc, (void *)queue_doc},
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_members, queue_members},
    {0, NULL},
};

PyType_Spec simple_queue_spec = {
    .name = "tpool.SimpleQueue",
    .basicsize = sizeof(SimpleQueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = queue_slots,
};

int py_simple_queue_init(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *queue = PyImport_ImportModule("_queue");

    if (queue) {
        state->queue_empty = PyObject_GetAttrString(queue, "Empty");
        Py_DECREF(queue);
    }
    return state->queue_empty ? 0 : -1;
}
