/* SPDX-License-Identifier: MIT
 *
 * See timer.h.
 */
#include "context/timer.h"
#include "py/args.h"
#include "context/context.h"

#define NOT_IN_HEAP (-1)

struct TimerObject {
    PyObject_HEAD
    /* Immutable after new. */
    AioContextObject *context;
    PyObject *callback;
    /* Context acquired. */
    int64_t expire_ns;
    uint64_t seq;
    _Atomic Py_ssize_t index; /* in the heap, or not; read by any thread */
};

static Py_ssize_t index_of(const TimerObject *t)
{
    /* Relaxed: it is written with the context acquired. */
    return atomic_load_explicit(&((TimerObject *)t)->index,
                                memory_order_relaxed);
}

static void set_index(TimerObject *t, Py_ssize_t index)
{
    atomic_store_explicit(&t->index, index, memory_order_relaxed);
}

static bool sooner(const TimerObject *a, const TimerObject *b)
{
    return a->expire_ns < b->expire_ns ||
           (a->expire_ns == b->expire_ns && a->seq < b->seq);
}

static void place(struct timer_heap *heap, Py_ssize_t i, TimerObject *t)
{
    heap->timers[i] = t;
    set_index(t, i);
}

static void sift_up(struct timer_heap *heap, Py_ssize_t i, TimerObject *t)
{
    while (i > 0 && sooner(t, heap->timers[(i - 1) / 2])) {
        place(heap, i, heap->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(heap, i, t);
}

static void sift_down(struct timer_heap *heap, Py_ssize_t i, TimerObject *t)
{
    Py_ssize_t child;

    while ((child = 2 * i + 1) < heap->used) {
        if (child + 1 < heap->used &&
            sooner(heap->timers[child + 1], heap->timers[child])) {
            child++;
        }
        if (!sooner(heap->timers[child], t)) {
            break;
        }
        place(heap, i, heap->timers[child]);
        i = child;
    }
    place(heap, i, t);
}

/* The caller gets the heap's reference. */
static void heap_remove(struct timer_heap *heap, TimerObject *t)
{
    Py_ssize_t i = index_of(t);
    TimerObject *last = heap->timers[--heap->used];

    set_index(t, NOT_IN_HEAP);
    if (last != t) {
        sift_down(heap, i, last);
        sift_up(heap, index_of(last), last);
    }
}

static int heap_insert(struct timer_heap *heap, TimerObject *t)
{
    if (heap->used == heap->size) {
        Py_ssize_t size = heap->size ? 2 * heap->size : 16;
        TimerObject **timers = PyMem_Realloc(heap->timers,
                                             (size_t)size * sizeof(*timers));

        if (!timers) {
            PyErr_NoMemory();
            return -1;
        }
        heap->timers = timers;
        heap->size = size;
    }
    t->seq = ++heap->seq;
    sift_up(heap, heap->used++, (TimerObject *)Py_NewRef((PyObject *)t));
    return 0;
}

void timers_cleanup(struct timer_heap *heap)
{
    struct timer_heap old = *heap;

    memset(heap, 0, sizeof(*heap));
    /* All of them first: a decref can run code that comes back here. */
    for (Py_ssize_t i = 0; i < old.used; i++) {
        set_index(old.timers[i], NOT_IN_HEAP);
    }
    for (Py_ssize_t i = 0; i < old.used; i++) {
        Py_DECREF(old.timers[i]);
    }
    PyMem_Free(old.timers);
}

void timers_abandon(struct timer_heap *heap)
{
    for (Py_ssize_t i = 0; i < heap->used; i++) {
        set_index(heap->timers[i], NOT_IN_HEAP);
    }
    heap->timers = NULL;
    heap->used = heap->size = 0;
}

int timers_traverse(struct timer_heap *heap, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < heap->used; i++) {
        Py_VISIT(heap->timers[i]);
    }
    return 0;
}

int64_t timers_timeout_ns(const struct timer_heap *heap)
{
    if (!heap->used) {
        return -1;
    }
    return time_left_ns(heap->timers[0]->expire_ns);
}

int64_t timers_expire_ns(const struct timer_heap *heap)
{
    return heap->used ? heap->timers[0]->expire_ns : -1;
}

int timers_dispatch(struct timer_heap *heap, bool *progress)
{
    int64_t now_ns, outer_ns = heap->dispatch_ns;
    int ret = 0;

    now_ns = heap->dispatch_ns = clock_now_ns();
    while (ret == 0 && heap->used && heap->timers[0]->expire_ns <= now_ns) {
        TimerObject *t = heap->timers[0];
        PyObject *result;

        heap_remove(heap, t);
        *progress = true;
        result = PyObject_CallNoArgs(t->callback);
        if (!result) {
            ret = report_callback(t->callback);
        }
        Py_XDECREF(result);
        Py_DECREF(t);
    }
    heap->dispatch_ns = outer_ns;
    return ret;
}

PyObject *timer_new(struct module_state *state, PyObject *context,
                    PyObject *callback)
{
    TimerObject *t = PyObject_GC_New(TimerObject, state->timer_type);

    if (t) {
        t->context = (AioContextObject *)Py_NewRef(context);
        t->callback = Py_NewRef(callback);
        t->expire_ns = -1;
        t->seq = 0;
        set_index(t, NOT_IN_HEAP);
        PyObject_GC_Track(t);
    }
    return (PyObject *)t;
}

/* anticipate: only if that makes it sooner. */
static PyObject *mod(TimerObject *t, PyObject *arg, bool anticipate)
{
    AioContextObject *c = t->context;
    int64_t expire_ns;
    int ret = 0;

    if (arg_int(arg, "expire_ns", 0, INT64_MAX, &expire_ns) < 0 ||
        context_enter(c) < 0) {
        return NULL;
    }
    if (expire_ns <= c->timers.dispatch_ns) {
        /* Set by a timer's callback: for the next turn, behind all due now. */
        expire_ns = c->timers.dispatch_ns + 1;
    }
    if (index_of(t) == NOT_IN_HEAP) {
        t->expire_ns = expire_ns;
        ret = heap_insert(&c->timers, t);
    } else if (!anticipate || expire_ns < t->expire_ns) {
        heap_remove(&c->timers, t);
        t->expire_ns = expire_ns;
        ret = heap_insert(&c->timers, t); /* there is room */
        Py_DECREF(t);
    }
    context_changed(c);
    context_set_due(c, expire_ns);
    owner_release(&c->owner);
    if (ret < 0) {
        return NULL;
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
    if (index_of(t) != NOT_IN_HEAP) {
        heap_remove(&t->context->timers, t);
        Py_DECREF(t);
    }
    owner_release(&t->context->owner);
    Py_RETURN_NONE;
}

static PyObject *timer_get_pending(TimerObject *t, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(index_of(t) != NOT_IN_HEAP);
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
    {"mod_ns", (PyCFunction)timer_mod_ns, METH_O, mod_ns_doc},
    {"mod_anticipate_ns", (PyCFunction)timer_mod_anticipate_ns, METH_O,
     mod_anticipate_ns_doc},
    {"cancel", (PyCFunction)timer_cancel, METH_NOARGS, cancel_doc},
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

static PyType_Spec timer_spec = {
    .name = "tpool.Timer",
    .basicsize = sizeof(TimerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = timer_slots,
};

int py_timer_add_type(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    state->timer_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &timer_spec, NULL);
    return state->timer_type ? PyModule_AddType(module, state->timer_type) : -1;
}
