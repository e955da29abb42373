/* SPDX-License-Identifier: MIT
 *
 * See bottom_half.h.
 *
 * The flags are one atomic word.  Who sets LINKED pushes the node, once; the
 * owner clears it as it takes the node off, before the callback runs, so that a
 * schedule() from then on makes it run again.
 */
#include "context/bottom_half.h"
#include "py/work_object.h"

#define BH_LINKED    1u /* on the completion list, or the owner has taken it */
#define BH_SCHEDULED 2u
#define BH_IDLE      4u
#define BH_DELETED   8u

typedef struct {
    WorkObject base;
    /* Any thread. */
    _Atomic uint32_t flags;
    /* Immutable after new. */
    AioContextObject *context;
    PyObject *callback;
    PyObject *args; /* tuple, or NULL; of a post the one argument */
} BottomHalfObject;

static BottomHalfObject *bh_of(const struct work *w)
{
    return (BottomHalfObject *)work_object(w);
}

static bool bh_is_idle(const struct work *w)
{
    /* Relaxed: who changes it wakes the owner afterwards. */
    return atomic_load_explicit(&bh_of(w)->flags, memory_order_relaxed) &
           BH_IDLE;
}

/* Runs it, if it is still scheduled. */
static int run(BottomHalfObject *bh, bool *progress)
{
    /* Both pair with schedule_open(). */
    uint32_t flags = atomic_fetch_and_explicit(
        &bh->flags, ~(BH_LINKED | BH_SCHEDULED | BH_IDLE),
        memory_order_acq_rel);
    PyObject *result;

    counter_add(&bh->context->aio.core->posts_run, 1);
    if (!(flags & BH_SCHEDULED) || (flags & BH_DELETED)) {
        return 0;
    }
    if (!(flags & BH_IDLE)) {
        *progress = true;
    }
    result = bh->base.work.ops->is_post
                 ? PyObject_CallOneArg(bh->callback, bh->args)
                 : PyObject_CallObject(bh->callback, bh->args);
    if (!result) {
        return report_callback(bh->callback);
    }
    Py_DECREF(result);
    return 0;
}

static int bh_dispatch(struct work *w, bool *progress)
{
    int ret = run(bh_of(w), progress);

    work_object_drop(w);
    return ret < 0 ? AIO_RAISED : 0;
}

static const struct work_ops bottom_half_ops = {
    .dispatch = bh_dispatch,
    .drop = work_object_drop,
    .is_idle = bh_is_idle,
};

static const struct work_ops post_ops = {
    .dispatch = bh_dispatch,
    .drop = work_object_drop,
    .is_post = true,
};

static int bh_traverse(BottomHalfObject *bh, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(bh));
    Py_VISIT(bh->context);
    Py_VISIT(bh->callback);
    Py_VISIT(bh->args);
    return 0;
}

/* Not tracked by the garbage collector yet. */
static BottomHalfObject *make(const struct work_ops *ops, AioContextObject *c,
                              PyObject *callback, PyObject *args)
{
    BottomHalfObject *bh = PyObject_GC_New(BottomHalfObject,
                                           c->state->bottom_half_type);

    if (bh) {
        work_init(&bh->base.work, ops);
        atomic_init(&bh->flags, 0);
        bh->context = (AioContextObject *)Py_NewRef((PyObject *)c);
        bh->callback = Py_NewRef(callback);
        bh->args = Py_XNewRef(args);
    }
    return bh;
}

PyObject *bottom_half_new(AioContextObject *c, PyObject *callback,
                          PyObject *args)
{
    BottomHalfObject *bh = make(&bottom_half_ops, c, callback, args);

    if (bh) {
        PyObject_GC_Track(bh);
    }
    return (PyObject *)bh;
}

/* Critical section of the context: not beside a close().  0, or -1. */
static int schedule_open(BottomHalfObject *bh, bool idle)
{
    AioContextObject *c = bh->context;
    uint32_t new, old = atomic_load_explicit(&bh->flags, memory_order_relaxed);

    if (context_check_open(c) < 0) {
        return -1;
    }
    do {
        if (old & BH_DELETED) {
            PyErr_SetString(PyExc_RuntimeError,
                            "the bottom half has been deleted");
            return -1;
        }
        new = old | BH_LINKED | BH_SCHEDULED;
        if (!idle) {
            new &= ~BH_IDLE;
        } else if (!(old & BH_SCHEDULED)) {
            new |= BH_IDLE;
        }
        /* Release: what the caller did before is seen by the callback.  Acquire:
         * the owner is done with the node, which is pushed again. */
    } while (!atomic_compare_exchange_weak_explicit(
        &bh->flags, &old, new, memory_order_acq_rel, memory_order_relaxed));
    if (!(old & BH_LINKED)) {
        Py_INCREF(bh);
        context_post(c, &bh->base.work.link);
    } else if (!(new &BH_IDLE) && ((old & BH_IDLE) || !(old & BH_SCHEDULED))) {
        /* It is, or was before it was cancelled, among the idle ones: the
         * owner may sleep until idle time. */
        notify_bare(&c->aio.core->notify);
    }
    return 0;
}

static int schedule(BottomHalfObject *bh, bool idle)
{
    int ret;

    Py_BEGIN_CRITICAL_SECTION(bh->context);
    ret = schedule_open(bh, idle);
    Py_END_CRITICAL_SECTION();
    return ret;
}

/*
 * Never tracked: nobody but the list has it, and what it refers to is visited from
 * there.  It is all but free then while many are on their way.
 */
int bottom_half_post(AioContextObject *c, PyObject *callback, PyObject *arg)
{
    BottomHalfObject *bh = make(&post_ops, c, callback, arg);
    int ret = bh ? schedule(bh, false) : -1;

    Py_XDECREF(bh);
    return ret;
}

int bottom_half_schedule(PyObject *self)
{
    return schedule((BottomHalfObject *)self, false);
}

PyDoc_STRVAR(
    schedule_doc,
    "schedule($self, /)\n--\n\n"
    "Run the callback in the owner's next turn, and wake the owner.\n"
    "\n"
    "Bottom halves run once for each turn, in order of scheduling.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed, or delete() was called.\n"
    "\n"
    "Context: Any thread, signal handlers and __del__ included.\n"
    "Source: QEMU's qemu_bh_schedule().");

static PyObject *bh_schedule(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(bottom_half_schedule(self));
}

PyDoc_STRVAR(
    schedule_idle_doc,
    "schedule_idle($self, /)\n--\n\n"
    "Run the callback when the owner turns next, at the latest 10 ms\n"
    "from when it has nothing to do. That is no progress to poll().\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed, or delete() was called.\n"
    "\n"
    "Context: Any thread, signal handlers and __del__ included.\n"
    "Source: QEMU's qemu_bh_schedule_idle().");

static PyObject *bh_schedule_idle(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(schedule((BottomHalfObject *)self, true));
}

static PyObject *drop(PyObject *self, uint32_t set)
{
    BottomHalfObject *bh = (BottomHalfObject *)self;

    atomic_fetch_or_explicit(&bh->flags, set, memory_order_relaxed);
    atomic_fetch_and_explicit(&bh->flags, ~(BH_SCHEDULED | BH_IDLE),
                              memory_order_relaxed);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cancel_doc, "cancel($self, /)\n--\n\n"
                         "Do not run; schedule() schedules it again.\n"
                         "\n"
                         "Context: Any thread, also the callback itself. Does\n"
                         "not wait for a callback that is running.");

static PyObject *bh_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return drop(self, 0);
}

PyDoc_STRVAR(delete_doc, "delete($self, /)\n--\n\n"
                         "Do not run, now or ever.\n"
                         "\n"
                         "Context: Any thread, also the callback itself.");

static PyObject *bh_delete(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return drop(self, BH_DELETED);
}

/*
 * What is cleared can still be called, by a weak reference of a finalizer: then by
 * None.  What leads back to it by its context is cleared there.
 */
static int bh_clear(BottomHalfObject *bh)
{
    Py_SETREF(bh->callback, Py_NewRef(Py_None));
    Py_CLEAR(bh->args);
    return 0;
}

static void bh_dealloc(BottomHalfObject *bh)
{
    PyTypeObject *type = Py_TYPE(bh);

    PyObject_GC_UnTrack(bh);
    Py_DECREF(bh->context);
    Py_DECREF(bh->callback);
    Py_XDECREF(bh->args);
    PyObject_GC_Del(bh);
    Py_DECREF(type);
}

static PyMethodDef bh_methods[] = {
    {"schedule", bh_schedule, METH_NOARGS, schedule_doc},
    {"schedule_idle", bh_schedule_idle, METH_NOARGS, schedule_idle_doc},
    {"cancel", bh_cancel, METH_NOARGS, cancel_doc},
    {"delete", bh_delete, METH_NOARGS, delete_doc},
    {NULL},
};

static PyType_Slot bh_slots[] = {
    {Py_tp_doc, "A callback that any thread may schedule and the owner of the\n"
                "context runs; see AioContext.new_bh()."},
    {Py_tp_traverse, bh_traverse},
    {Py_tp_clear, bh_clear},
    {Py_tp_dealloc, bh_dealloc},
    {Py_tp_methods, bh_methods},
    {0, NULL},
};

PyType_Spec bottom_half_spec = {
    .name = "tpool.BottomHalf",
    .basicsize = sizeof(BottomHalfObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bh_slots,
};
