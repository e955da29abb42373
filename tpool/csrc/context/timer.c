/* SPDX-License-Identifier: MIT
 *
 * See timer.h.
 */
#include "context/timer.h"
#include "py/args.h"
#include "turn/foreign.h"

typedef struct {
    PyObject_HEAD
    /* Immutable after new. */
    AioContextObject *context;
    PyObject *callback;
    /* Context acquired. */
    struct timer timer;
} TimerObject;

static TimerObject *object_of(struct timer *timer)
{
    return container_of(timer, TimerObject, timer);
}

static int timer_fire(struct timer *timer)
{
    TimerObject *t = object_of(timer);
    PyObject *result = PyObject_CallNoArgs(t->callback);
    int ret = result || report_callback(t->callback) == 0 ? 0 : AIO_RAISED;

    Py_XDECREF(result);
    Py_DECREF(t);
    return ret;
}

static void timer_drop(struct timer *timer)
{
    Py_DECREF(object_of(timer));
}

static const struct timer_ops timer_ops = {
    .fire = timer_fire,
    .drop = timer_drop,
};

int timers_traverse(const struct timer_heap *heap, visitproc visit, void *arg)
{
    for (ptrdiff_t i = 0; i < heap->used; i++) {
        Py_VISIT(object_of(heap->timers[i]));
    }
    return 0;
}

PyObject *timer_new(AioContextObject *c, PyObject *callback)
{
    TimerObject *t = PyObject_GC_New(TimerObject, c->state->timer_type);

    if (t) {
        t->context = (AioContextObject *)Py_NewRef((PyObject *)c);
        t->callback = Py_NewRef(callback);
        timer_init(&t->timer, &timer_ops);
        PyObject_GC_Track(t);
    }
    return (PyObject *)t;
}

/* anticipate: only if that makes it sooner. */
static PyObject *mod(TimerObject *t, PyObject *arg, bool anticipate)
{
    AioContextObject *c = t->context;
    int64_t expire_ns;
    int ret;

    if (arg_int(arg, "expire_ns", 0, INT64_MAX, &expire_ns) < 0 ||
        context_enter(c) < 0) {
        return NULL;
    }
    ret = timers_mod(&c->aio.timers, &t->timer, expire_ns, anticipate);
    if (ret > 0) {
        Py_INCREF(t); /* the heap's */
    }
    context_changed(c);
    if (owner_is_me(&c->owner)) {
        aio_set_due(&c->aio, expire_ns);
    }
    owner_release(&c->owner);
    if (ret < 0) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    mod_ns_doc,
    "mod_ns($self, expire_ns, /)\n--\n\n"
    "Go off once the monotonic clock has passed a time, instead of any other.\n"
    "\n"
    "Args:\n"
    "    expire_ns: Nanoseconds of time.monotonic_ns(). A time that has\n"
    "        passed goes off in the next turn. Never early; timers of equal\n"
    "        times go off in the order in which they were set.\n"
    "\n"
    "Raises:\n"
    "    ValueError: expire_ns is negative.\n"
    "    OverflowError: expire_ns does not fit an int64.\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context.\n"
    "Source: QEMU's timer_mod_ns().");

static PyObject *timer_mod_ns(TimerObject *t, PyObject *arg)
{
    return mod(t, arg, false);
}

PyDoc_STRVAR(mod_anticipate_ns_doc,
             "mod_anticipate_ns($self, expire_ns, /)\n--\n\n"
             "As mod_ns(), but only where that makes the timer go off sooner.\n"
             "\n"
             "Context: Any thread; waits for the context.\n"
             "Source: QEMU's timer_mod_anticipate_ns().");

static PyObject *timer_mod_anticipate_ns(TimerObject *t, PyObject *arg)
{
    return mod(t, arg, true);
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\n"
                         "Do not go off; mod_ns() sets it again.\n"
                         "\n"
                         "Context: Any thread; waits for the context.");

static PyObject *timer_cancel(TimerObject *t, PyObject *Py_UNUSED(ignored))
{
    if (owner_acquire(&t->context->owner) < 0) {
        return NULL;
    }
    if (timers_cancel(&t->context->aio.timers, &t->timer)) {
        Py_DECREF(t);
    }
    owner_release(&t->context->owner);
    Py_RETURN_NONE;
}

static PyObject *timer_get_pending(TimerObject *t, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(timer_is_set(&t->timer));
}

static int timer_traverse(TimerObject *t, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(t));
    Py_VISIT(t->context);
    Py_VISIT(t->callback);
    return 0;
}

/* As that of a bottom half: what is cleared calls None. */
static int timer_clear(TimerObject *t)
{
    Py_SETREF(t->callback, Py_NewRef(Py_None));
    return 0;
}

static void timer_dealloc(TimerObject *t)
{
    PyTypeObject *type = Py_TYPE(t);

    PyObject_GC_UnTrack(t);
    Py_DECREF(t->context);
    Py_DECREF(t->callback);
    PyObject_GC_Del(t);
    Py_DECREF(type);
}

static PyMethodDef timer_methods[] = {
    METHOD("mod_ns", timer_mod_ns, METH_O, mod_ns_doc),
    METHOD("mod_anticipate_ns", timer_mod_anticipate_ns, METH_O,
           mod_anticipate_ns_doc),
    METHOD("cancel", timer_cancel, METH_NOARGS, cancel_doc),
    {NULL},
};

static PyGetSetDef timer_getset[] = {
    {"pending", (getter)timer_get_pending, NULL,
     "Whether it is set and has not gone off.", NULL},
    {NULL},
};

static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "A timer of an AioContext; see AioContext.new_timer()."},
    {Py_tp_traverse, timer_traverse},
    {Py_tp_clear, timer_clear},
    {Py_tp_dealloc, timer_dealloc},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {0, NULL},
};

PyType_Spec timer_spec = {
    .name = "tpool.Timer",
    .basicsize = sizeof(TimerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = timer_slots,
};
