/* SPDX-License-Identifier: MIT
 *
 * See files.h.
 */
#include "files/files.h"
#include "files/files_doc.h"
#include "files/file_request.h"
#include "pool/request.h"
#include "py/args.h"

#include <structmember.h>

/*
 * Of one turn, from the page cache, with the GIL: about 0.1 ms, after which others have
 * their turn.  The first half moves at once, the rest in calls to the kernel, and is seen in
 * the next turn; what is more, threads move.  What moves less counts as the least.
 */
#define CACHED_MAX   (2 * 1024 * 1024)
#define CACHED_LEAST (16 * 1024)
/* The kernel's own bound. */
#define ENTRIES_MAX 32768

/* Returns 0, or -1 with an exception. */
static int check(FilesObject *self)
{
    AioContextObject *c = self->context;
    int ret;

    if (pool_check_here(self->threads->pool) < 0) {
        return -1;
    }
    /* Relaxed: the owner alone goes on, and it closes it, or hears of it later. */
    if (atomic_load_explicit(&self->closed, memory_order_relaxed)) {
        PyErr_SetString(PyExc_RuntimeError, "the AioFiles is closed");
        return -1;
    }
    /* The pool has a say in it: at the exit, say, nothing is asked for any more. */
    if (context_check_open(c) < 0 || pool_check_up(self->threads) < 0) {
        return -1;
    }
    if (owner_is_me(&c->owner)) {
        return 0;
    }
    if (context_enter(c) < 0) {
        return -1;
    }
    ret = context_adopt(c);
    owner_release(&c->owner);
    return ret;
}

/* Whether so much more than was copied in this turn is no more than max. */
static bool is_within(FilesObject *self, size_t size, size_t max)
{
    uint64_t turn = counter_get(&self->context->aio.stats.turns);

    if (turn != self->turn) {
        self->turn = turn;
        self->spent = 0;
    }
    return self->spent < max && size <= max - self->spent;
}

/* So much was, or is left to the kernel, which may do so in the owner. */
static void spend(FilesObject *self, size_t size)
{
    self->spent += size > CACHED_LEAST ? size : CACHED_LEAST;
}

/*
 * A request that is done; NULL without an exception: op has to be done, what is left, and
 * *waits tells whether only because that is not in the cache.
 */
static PyObject *read_at_once(FilesObject *self, FileOpObject *op, bool *waits)
{
    size_t moved = 0;
    int64_t ret = file_io_read_cached(&op->io, &moved);

    op->moved = moved;
    spend(self, moved);
    *waits = ret == -EAGAIN;
    if (ret < 0) {
        return NULL; /* an error too is told by who does it in earnest */
    }
    return (PyObject *)request_new_done(self->threads->pool,
                                        file_op_result(op, 0));
}

/*
 * The request for op; NULL with an exception.  The kernel makes what waits for the device
 * alone, and what it may move in the owner.  All else, a write to the page cache or a sync,
 * an io_uring would leave to threads of its own: these do it where none of ours is to be had.
 */
static PyObject *start_checked(FilesObject *self, FileOpObject *op)
{
    struct pool_core *pool = self->threads->pool;
    struct kernel_io *k = self->kernel_io;
    size_t size = file_io_size(&op->io);
    bool cached = op->io.kind == FILE_READ && op->io.n_iov &&
                  file_io_is_cached(op->io.fd);
    bool here = cached && is_within(self, size, CACHED_MAX), takes;
    PyObject *r = NULL;

    if (here && is_within(self, size, CACHED_MAX / 2)) {
        r = read_at_once(self, op, &here);
        if (r || PyErr_Occurred()) {
            return r;
        }
    }
    takes = k && io_queue_takes(&k->queue, &op->io);
    if (!takes || !(here || file_io_is_direct(&op->io))) {
        r = file_request_by_thread(pool, self->context, op);
        if (r || PyErr_Occurred()) {
            return r;
        }
    }
    if (!takes) {
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    if (here) {
        spend(self, file_io_size(&op->io));
    }
    return file_request_by_kernel(pool, self->context, k, op);
}

/* The same; takes op over, which may be NULL. */
static PyObject *start(FilesObject *self, FileOpObject *op)
{
    PyObject *r = NULL;

    /* After the arguments: they may have run code, which has closed it. */
    if (op && check(self) == 0) {
        r = start_checked(self, op);
    }
    Py_XDECREF(op);
    return r;
}

static PyObject *start_move(FilesObject *self, enum file_io_kind kind,
                            const char *function, const char *what,
                            PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    const char *const names[] = {"fd", what, "offset"};
    PyObject *values[3];

    if (args_unpack(function, args, nargs, kwnames, names, 3, 3, values) < 0) {
        return NULL;
    }
    return start(self, file_op_new(self->context->state, kind, values[0],
                                   values[1], what, values[2]));
}

static PyObject *start_sync(FilesObject *self, enum file_io_kind kind,
                            const char *function, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"fd"};
    PyObject *fd;

    if (args_unpack(function, args, nargs, kwnames, names, 1, 1, &fd) < 0) {
        return NULL;
    }
    return start(self,
                 file_op_new(self->context->state, kind, fd, NULL, NULL, NULL));
}

static PyObject *files_pread(FilesObject *self, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *kwnames)
{
    return start_move(self, FILE_READ, "pread", "length_or_buffer", args, nargs,
                      kwnames);
}

static PyObject *files_pwrite(FilesObject *self, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *kwnames)
{
    return start_move(self, FILE_WRITE, "pwrite", "data", args, nargs, kwnames);
}

static PyObject *files_fsync(FilesObject *self, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *kwnames)
{
    return start_sync(self, FILE_SYNC, "fsync", args, nargs, kwnames);
}

static PyObject *files_fdatasync(FilesObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *kwnames)
{
    return start_sync(self, FILE_DATASYNC, "fdatasync", args, nargs, kwnames);
}

PyDoc_STRVAR(close_doc, "_close($self, /)\n--\n\n"
                        "Accept no more requests.\n"
                        "\n"
                        "Context: Any thread.");

static PyObject *files_close(FilesObject *self, PyObject *Py_UNUSED(ignored))
{
    atomic_store_explicit(&self->closed, true, memory_order_relaxed);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc,
             "_wait($self, /)\n--\n\n"
             "Return when threads have done what they were asked for; closed.\n"
             "\n"
             "Context: Any thread; it needs nothing that the owner holds.");

static PyObject *files_wait(FilesObject *self, PyObject *Py_UNUSED(ignored))
{
    struct pool_core *pool = self->threads->pool;
    int ret = 0;

    atomic_fetch_add_explicit(&pool->waiters, 1, memory_order_relaxed);
    /* Seq_cst, as its closing before: who is about to ask sees that, or is seen. */
    while (ret == 0 && !pool_is_forked(pool) &&
           atomic_load_explicit(&pool->making, memory_order_seq_cst)) {
        ret = pool_wait_a_moment(pool);
    }
    atomic_fetch_sub_explicit(&pool->waiters, 1, memory_order_relaxed);
    return none_or_null(ret);
}

static PyObject *files_get_closed(FilesObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(
        atomic_load_explicit(&self->closed, memory_order_relaxed));
}

static bool is_called(PyObject *backend, const char *name)
{
    return PyUnicode_Check(backend) &&
           PyUnicode_CompareWithASCIIString(backend, name) == 0;
}

/* Context acquired.  The first of its AioFiles says how large it is.  0 or -errno. */
static int have_open(AioContextObject *c, struct kernel_io *k, uint32_t entries)
{
    return kernel_io_is_open(k) ? 0 : kernel_io_open(k, &c->aio, entries);
}

/*
 * The queue of the context that backend, or None, names; NULL: threads make all.
 * Returns 0, or -1 with an exception.
 */
static int choose(AioContextObject *c, uint32_t entries, PyObject *backend,
                  struct kernel_io **out)
{
    bool any = backend == Py_None, known = any || is_called(backend, "threads");
    int ret = 0;

    if (context_enter(c) < 0) {
        return -1;
    }
    *out = NULL;
    for (int i = 0; i < KERNEL_IO_KINDS && !*out; i++) {
        struct kernel_io *k = &c->kernel_io[i];

        if (any || is_called(backend, k->queue.ops->name)) {
            known = true;
            ret = have_open(c, k, entries);
            *out = ret == 0 ? k : NULL;
        }
    }
    owner_release(&c->owner);
    if (!known) {
        PyErr_Format(PyExc_ValueError,
                     "backend must be 'io_uring', 'linux-aio', 'threads' or "
                     "None, not %R",
                     backend);
    } else if (ret < 0 && !any) {
        raise_errno(ret);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *files_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"threads", "entries", "backend", NULL};
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    PoolObject *threads;
    PyObject *given[2];
    int64_t entries;
    struct kernel_io *kernel_io;
    FilesObject *self;

    if (!module) {
        return NULL; /* a metaclass has left the type out of the mro() */
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!OO:AioFiles", names,
            ((struct module_state *)PyModule_GetState(module))->pool_type,
            &threads, &given[0], &given[1]) ||
        arg_int(given[0], "entries", 1, ENTRIES_MAX, &entries) < 0 ||
        pool_check_up(threads) < 0 ||
        choose(threads->context, (uint32_t)entries, given[1], &kernel_io) < 0) {
        return NULL;
    }
    /* From here on the collector, and so everybody, can find it: whole. */
    self = (FilesObject *)type->tp_alloc(type, 0);
    if (!self) {
        return NULL;
    }
    self->threads = (PoolObject *)Py_NewRef((PyObject *)threads);
    self->context = (AioContextObject *)Py_NewRef((PyObject *)threads->context);
    self->kernel_io = kernel_io;
    return (PyObject *)self;
}

/* No tp_clear: what leads back to it does so by its context, which has one. */
static int files_traverse(FilesObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->context);
    Py_VISIT(self->threads);
    return 0;
}

static void files_dealloc(FilesObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (self->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Py_DECREF(self->threads);
    Py_DECREF(self->context);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef files_methods[] = {
    METHOD("pread", files_pread, METH_FASTCALL | METH_KEYWORDS, pread_doc),
    METHOD("pwrite", files_pwrite, METH_FASTCALL | METH_KEYWORDS, pwrite_doc),
    METHOD("fsync", files_fsync, METH_FASTCALL | METH_KEYWORDS, fsync_doc),
    METHOD("fdatasync", files_fdatasync, METH_FASTCALL | METH_KEYWORDS,
           fdatasync_doc),
    METHOD("_close", files_close, METH_NOARGS, close_doc),
    METHOD("_wait", files_wait, METH_NOARGS, wait_doc),
    {NULL},
};

static PyObject *files_get_backend(FilesObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(
        self->kernel_io ? self->kernel_io->queue.ops->name : "threads");
}

static PyGetSetDef files_getset[] = {
    {"backend", (getter)files_get_backend, NULL,
     "Who makes the requests that the page cache does not answer: 'io_uring',\n"
     "'linux-aio' or 'threads'. What is not for the first two threads make in any\n"
     "case: see Request.backend.",
     NULL},
    {"closed", (getter)files_get_closed, NULL, "Whether close() was called.",
     NULL},
    {NULL},
};

static PyMemberDef files_members[] = {
    {"ctx", T_OBJECT_EX, offsetof(FilesObject, context), READONLY,
     "The AioContext that the completions go to."},
    {"_threads", T_OBJECT_EX, offsetof(FilesObject, threads), READONLY,
     "The pool whose requests all are; its threads make what else is to do."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FilesObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot files_slots[] = {
    {Py_tp_doc, "The part of tpool.AioFiles that is in C."},
    {Py_tp_new, files_new},
    {Py_tp_init, init_nothing},
    {Py_tp_traverse, files_traverse},
    {Py_tp_dealloc, files_dealloc},
    {Py_tp_methods, files_methods},
    {Py_tp_getset, files_getset},
    {Py_tp_members, files_members},
    {0, NULL},
};

PyType_Spec files_spec = {
    .name = "tpool._core.AioFiles",
    .basicsize = sizeof(FilesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = files_slots,
};
