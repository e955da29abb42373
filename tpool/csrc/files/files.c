/* SPDX-License-Identifier: MIT
 *
 * See files.h.
 */
#include "files/files.h"
#include "files/files_doc.h"
#include "files/ring_request.h"
#include "pool/request.h"
#include "py/args.h"

#include <structmember.h>

/*
 * Of one turn, from the page cache and to it, with the GIL: about 0.1 ms, after which
 * others have their turn.  What moves less counts as the least.
 */
#define CACHED_MAX   (1024 * 1024)
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
    if (context_check_open(c) < 0) {
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

/* Whether so much may be copied in this turn. */
static bool may_be_at_once(FilesObject *self, size_t size)
{
    uint64_t turn = counter_get(&self->context->aio.stats.turns);

    if (turn != self->turn) {
        self->turn = turn;
        self->spent = 0;
    }
    return self->spent < CACHED_MAX && size <= CACHED_MAX - self->spent;
}

/* So much was, or is left to the kernel, which may do so. */
static void spend(FilesObject *self, size_t size)
{
    self->spent += size > CACHED_LEAST ? size : CACHED_LEAST;
}

/* A request that is done; NULL without an exception: op has to be done, what is left. */
static PyObject *read_at_once(FilesObject *self, FileOpObject *op)
{
    size_t moved = 0;
    int64_t ret = file_io_read_cached(&op->io, &moved);

    op->moved = moved;
    spend(self, moved);
    if (ret < 0) {
        return NULL; /* an error too is told by who does it in earnest */
    }
    return (PyObject *)request_new_done(self->threads->pool,
                                        file_op_result(op, 0));
}

/* By the kernel, or a thread.  elsewhere: not in the owner, if it is by the kernel. */
static PyObject *do_in_earnest(FilesObject *self, FileOpObject *op,
                               bool elsewhere)
{
    struct pool_core *pool = self->threads->pool;
    RequestObject *r;

    if (self->by_ring && file_io_is_plain(op->io.fd)) {
        return ring_request_new(pool, self->context, op, elsewhere);
    }
    r = request_new_bare(pool, (PyObject *)op, file_op_key(op));
    if (r && pool_submit_work(self->threads, &r->base.work, r->submit_ns) < 0) {
        Py_CLEAR(r);
    }
    return (PyObject *)r;
}

/* The request for op; NULL with an exception. */
static PyObject *start_checked(FilesObject *self, FileOpObject *op)
{
    bool moves = op->io.n_iov != 0, read = op->io.kind == FILE_READ;
    bool cached = moves && file_io_is_cached(op->io.fd);
    bool at_once = cached && may_be_at_once(self, file_io_size(&op->io));
    PyObject *r = at_once && read ? read_at_once(self, op) : NULL;

    if (r || PyErr_Occurred()) {
        return r;
    }
    if (at_once) {
        spend(self, file_io_size(&op->io));
    }
    return do_in_earnest(self, op, cached && !at_once);
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

PyDoc_STRVAR(settle_doc,
             "_settle($self, /)\n--\n\n"
             "Return when the kernel has done what it was asked for.\n"
             "\n"
             "Context: Any thread.");

static PyObject *files_settle(FilesObject *self, PyObject *Py_UNUSED(ignored))
{
    int ret;

    if (context_enter(self->context) < 0) {
        return NULL;
    }
    ret = context_settle(self->context);
    owner_release(&self->context->owner);
    return none_or_null(ret);
}

static PyObject *files_get_closed(FilesObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(
        atomic_load_explicit(&self->closed, memory_order_relaxed));
}

/* "io_uring", "threads", or None: what there is. */
enum backend {
    BACKEND_ANY,
    BACKEND_RING,
    BACKEND_THREADS
};

/* Returns 0, or -1 with an exception. */
static int parse_backend(PyObject *backend, enum backend *out)
{
    bool is_str = PyUnicode_Check(backend);

    *out = BACKEND_ANY;
    if (is_str && PyUnicode_CompareWithASCIIString(backend, "io_uring") == 0) {
        *out = BACKEND_RING;
    } else if (is_str &&
               PyUnicode_CompareWithASCIIString(backend, "threads") == 0) {
        *out = BACKEND_THREADS;
    } else if (backend != Py_None) {
        PyErr_Format(PyExc_ValueError,
                     "backend must be 'io_uring', 'threads' or None, not %R",
                     backend);
        return -1;
    }
    return 0;
}

/* The ring of the context, which its first AioFiles opens.  0, or -1 with an exception. */
static int open_ring(AioContextObject *c, uint32_t entries,
                     enum backend backend, bool *by_ring)
{
    int ret = 0;

    if (context_enter(c) < 0) {
        return -1;
    }
    if (!uring_source_is_open(&c->uring)) {
        ret = uring_source_open(&c->uring, &c->aio, entries);
    }
    owner_release(&c->owner);
    *by_ring = ret == 0;
    if (ret < 0 && backend == BACKEND_RING) {
        raise_errno(ret);
        return -1;
    }
    return 0;
}

static PyObject *files_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"threads", "entries", "backend", NULL};
    PyObject *module = PyType_GetModuleByDef(type, &tpool_core_module);
    PoolObject *threads;
    PyObject *given[2];
    int64_t entries;
    enum backend backend;
    bool by_ring = false;
    FilesObject *self;

    if (!module) {
        return NULL; /* a metaclass has left the type out of the mro() */
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O!OO:AioFiles", names,
            ((struct module_state *)PyModule_GetState(module))->pool_type,
            &threads, &given[0], &given[1]) ||
        arg_int(given[0], "entries", 1, ENTRIES_MAX, &entries) < 0 ||
        parse_backend(given[1], &backend) < 0 || pool_check_up(threads) < 0 ||
        (backend != BACKEND_THREADS &&
         open_ring(threads->context, (uint32_t)entries, backend, &by_ring) <
             0)) {
        return NULL;
    }
    /* From here on the collector, and so everybody, can find it: whole. */
    self = (FilesObject *)type->tp_alloc(type, 0);
    if (!self) {
        return NULL;
    }
    self->threads = (PoolObject *)Py_NewRef((PyObject *)threads);
    self->context = (AioContextObject *)Py_NewRef((PyObject *)threads->context);
    self->by_ring = by_ring;
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
    METHOD("_settle", files_settle, METH_NOARGS, settle_doc),
    {NULL},
};

static PyObject *files_get_backend(FilesObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(self->by_ring ? "io_uring" : "threads");
}

static PyGetSetDef files_getset[] = {
    {"backend", (getter)files_get_backend, NULL,
     "Who makes the requests that the page cache does not answer: 'io_uring', or\n"
     "'threads'. Those for what is no regular file nor block device, as of a\n"
     "terminal, threads make in any case.",
     NULL},
    {"closed", (getter)files_get_closed, NULL, "Whether close() was called.",
     NULL},
    {NULL},
};

static PyMemberDef files_members[] = {
    {"ctx", T_OBJECT_EX, offsetof(FilesObject, context), READONLY,
     "The AioContext that the completions go to."},
    {"_threads", T_OBJECT_EX, offsetof(FilesObject, threads), READONLY,
     "The pool that makes what nobody else does."},
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
