/* SPDX-License-Identifier: MIT
 *
 * See watch.h.
 */
#include "context/watch.h"
#include "py/args.h"

/* How long an owner sleeps at most that nobody wakes, where nothing else is said. */
#define INTERVAL_NS NS_PER_MS

typedef struct {
    PyObject_HEAD
    AioContextObject *context; /* immutable after new */
    PyObject *callback;        /* the same, but for the collector */
    atomic_bool open;          /* any thread reads it: relaxed, a hint */
    /* Context acquired. */
    Py_buffer buffer;
    struct shared_word word;
} WatchObject;

static WatchObject *object_of(struct shared_word *w)
{
    return container_of(w, WatchObject, word);
}

static int watch_changed(struct shared_word *w)
{
    WatchObject *self = object_of(w);
    PyObject *callback = Py_NewRef(self->callback);
    PyObject *result = PyObject_CallNoArgs(callback);
    int ret = result || report_callback(callback) == 0 ? 0 : AIO_RAISED;

    Py_XDECREF(result);
    Py_DECREF(callback);
    return ret;
}

static bool is_open(const WatchObject *self)
{
    return atomic_load_explicit((atomic_bool *)&self->open,
                                memory_order_relaxed);
}

/* Context acquired.  Takes it off the list, whose reference goes. */
static void close_one(WatchObject *self)
{
    struct aio_context *c = &self->context->aio;

    if (is_open(self)) {
        Py_buffer buffer = self->buffer;

        atomic_store_explicit(&self->open, false, memory_order_relaxed);
        self->buffer = (Py_buffer){NULL};
        shared_words_remove(&self->context->words, c, &self->word);
        PyBuffer_Release(&buffer);
        Py_DECREF(self);
    }
}

void watches_close(AioContextObject *c)
{
    while (c->words.first) {
        close_one(object_of(c->words.first));
    }
}

int watches_traverse(AioContextObject *c, visitproc visit, void *arg)
{
    for (struct shared_word *w = c->words.first; w; w = w->next) {
        Py_VISIT(object_of(w));
    }
    return 0;
}

/* Where the word is.  NULL with an exception. */
static const _Atomic uint32_t *find_word(const Py_buffer *buffer,
                                         int64_t offset)
{
    char *at = (char *)buffer->buf + offset;

    if (buffer->len < 4 || offset > buffer->len - 4 || (uintptr_t)at % 4) {
        PyErr_Format(PyExc_ValueError,
                     "there is no aligned word of 4 bytes at offset %lld of a "
                     "buffer of %zd",
                     (long long)offset, buffer->len);
        return NULL;
    }
    return (const _Atomic uint32_t *)(void *)at;
}

/* From the arguments of watch(), but for buffer and callback: 0, or -1. */
static int parse(PyObject *offset, PyObject *value, PyObject *interval,
                 int64_t *at, struct shared_word *w)
{
    int64_t number = 0;

    w->block_max_ns = INTERVAL_NS;
    if (arg_int(offset, "offset", 0, PY_SSIZE_T_MAX, at) < 0 ||
        (value != Py_None &&
         arg_int(value, "value", 0, UINT32_MAX, &number) < 0) ||
        (interval && arg_seconds(interval, "interval", &w->block_max_ns) < 0)) {
        return -1;
    }
    if (w->block_max_ns == 0) {
        PyErr_SetString(PyExc_ValueError, "interval must be positive");
        return -1;
    }
    w->equals = value != Py_None;
    w->value = (uint32_t)number;
    return 0;
}

/* It has the buffer and the callback; with the context.  0, or -1 with an exception. */
static int open_one(WatchObject *self, int64_t offset)
{
    AioContextObject *c = self->context;

    self->word.word = find_word(&self->buffer, offset);
    if (!self->word.word || context_enter(c) < 0) {
        return -1;
    }
    atomic_store_explicit(&self->open, true, memory_order_relaxed);
    shared_words_add(&c->words, &c->aio, (Py_INCREF(self), &self->word));
    context_changed(c);
    owner_release(&c->owner);
    return 0;
}

static PyObject *watch_new(AioContextObject *c, PyObject *buffer,
                           PyObject *callback, const struct shared_word *word,
                           int64_t offset)
{
    WatchObject *self = PyObject_GC_New(WatchObject, c->state->watch_type);

    if (!self) {
        return NULL;
    }
    self->context = (AioContextObject *)Py_NewRef((PyObject *)c);
    self->callback = Py_NewRef(callback);
    atomic_init(&self->open, false);
    self->buffer = (Py_buffer){NULL};
    self->word = *word;
    self->word.changed = watch_changed;
    PyObject_GC_Track(self);
    if (PyObject_GetBuffer(buffer, &self->buffer, PyBUF_SIMPLE) < 0 ||
        open_one(self, offset) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *context_watch_args(AioContextObject *c, PyObject *args,
                                    PyObject *kwargs)
{
    static char *names[] = {"buffer", "offset",   "callback",
                            "value",  "interval", NULL};
    PyObject *buffer, *offset, *callback, *value = Py_None, *interval = NULL;
    struct shared_word word = {NULL};
    int64_t at;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$OO:watch", names,
                                     &buffer, &offset, &callback, &value,
                                     &interval) ||
        arg_callable(callback, "callback", false, &callback) < 0 ||
        parse(offset, value, interval, &at, &word) < 0) {
        return NULL;
    }
    return watch_new(c, buffer, callback, &word, at);
}

WITH_OWN_KEYWORDS(context_watch, AioContextObject)

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "Look at the word no more, and let go of the buffer. May be called\n"
    "twice.\n"
    "\n"
    "Context: Any thread; waits for the context.");

static PyObject *watch_close(WatchObject *self, PyObject *Py_UNUSED(ignored))
{
    if (owner_acquire(&self->context->owner) < 0) {
        return NULL;
    }
    close_one(self);
    owner_release(&self->context->owner);
    Py_RETURN_NONE;
}

static PyObject *watch_get_closed(WatchObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!is_open(self));
}

static int watch_traverse(WatchObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    Py_VISIT(self->callback);
    Py_VISIT(self->buffer.obj);
    return 0;
}

/* As that of a timer: what is cleared calls None. */
static int watch_clear(WatchObject *self)
{
    Py_SETREF(self->callback, Py_NewRef(Py_None));
    return 0;
}

static void watch_dealloc(WatchObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    PyBuffer_Release(&self->buffer); /* of one that was not opened */
    Py_DECREF(self->context);
    Py_DECREF(self->callback);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef watch_methods[] = {
    METHOD("close", watch_close, METH_NOARGS, close_doc),
    {NULL},
};

static PyGetSetDef watch_getset[] = {
    {"closed", (getter)watch_get_closed, NULL,
     "Whether it looks at the word no more.", NULL},
    {NULL},
};

static PyType_Slot watch_slots[] = {
    {Py_tp_doc, "A word that an AioContext looks at; see AioContext.watch()."},
    {Py_tp_traverse, watch_traverse},
    {Py_tp_clear, watch_clear},
    {Py_tp_dealloc, watch_dealloc},
    {Py_tp_methods, watch_methods},
    {Py_tp_getset, watch_getset},
    {0, NULL},
};

PyType_Spec watch_spec = {
    .name = "tpool.Watch",
    .basicsize = sizeof(WatchObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = watch_slots,
};
