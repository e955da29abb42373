/* SPDX-License-Identifier: MIT
 *
 * See file_op.h.
 */
#include "files/file_op.h"
#include "py/args.h"

#include <structmember.h>

static struct iovec *iov_of(FileOpObject *op)
{
    return (struct iovec *)(void *)&op->views[Py_SIZE(op)];
}

/* With room for n buffers, of which there is none yet.  NULL with an exception. */
static FileOpObject *alloc(struct module_state *state, enum file_io_kind kind,
                           PyObject *file, int64_t offset, Py_ssize_t n)
{
    FileOpObject *op = PyObject_GC_NewVar(FileOpObject, state->file_op_type, n);

    if (!op) {
        return NULL;
    }
    op->file = Py_NewRef(file);
    op->io = (struct file_io){
        .kind = kind, .iov = iov_of(op), .offset = offset};
    op->moved = 0;
    op->bytes = NULL;
    op->entry = (struct kernel_io_entry){.io = &op->io,
                                         .ret = FILE_OP_NOT_DONE};
    op->threads = NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        op->views[i].obj = NULL;
    }
    return op;
}

/* Returns 0, or -1 with an exception. */
static int add_new_bytes(FileOpObject *op, PyObject *length)
{
    int64_t n;

    if (arg_int(length, "length", 0, PY_SSIZE_T_MAX - 64, &n) < 0) {
        return -1;
    }
    op->bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
    if (!op->bytes) {
        return -1;
    }
    op->io.iov[op->io.n_iov++] = (struct iovec){PyBytes_AS_STRING(op->bytes),
                                                (size_t)n};
    return 0;
}

/* The same, of the next of them. */
static int add_view(FileOpObject *op, PyObject *buffer)
{
    int i = op->io.n_iov;
    int flags = op->io.kind == FILE_READ ? PyBUF_WRITABLE : PyBUF_SIMPLE;

    if (PyObject_GetBuffer(buffer, &op->views[i], flags) < 0) {
        op->views[i].obj = NULL;
        return -1;
    }
    op->io.iov[i] = (struct iovec){op->views[i].buf, (size_t)op->views[i].len};
    op->io.n_iov++;
    return 0;
}

/* A new reference to a tuple of the buffers that are given, or NULL with an exception. */
static PyObject *buffers_of(PyObject *what, const char *name)
{
    PyObject *buffers;

    if (PyObject_CheckBuffer(what)) {
        return PyTuple_Pack(1, what);
    }
    buffers = PySequence_Check(what) ? PySequence_Tuple(what) : NULL;
    if (!buffers && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be a buffer or a sequence of buffers, not %R",
                     name, what);
    }
    if (buffers && PyTuple_GET_SIZE(buffers) > INT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%s has too many buffers: %zd", name,
                     PyTuple_GET_SIZE(buffers));
        Py_CLEAR(buffers);
    }
    return buffers;
}

static FileOpObject *new_with_views(struct module_state *state,
                                    enum file_io_kind kind, PyObject *file,
                                    PyObject *what, const char *name,
                                    int64_t offset)
{
    PyObject *buffers = buffers_of(what, name);
    Py_ssize_t n = buffers ? PyTuple_GET_SIZE(buffers) : 0;
    FileOpObject *op = buffers ? alloc(state, kind, file, offset, n) : NULL;

    for (Py_ssize_t i = 0; op && i < n; i++) {
        if (add_view(op, PyTuple_GET_ITEM(buffers, i)) < 0) {
            Py_CLEAR(op);
        }
    }
    Py_XDECREF(buffers);
    return op;
}

FileOpObject *file_op_new(struct module_state *state, enum file_io_kind kind,
                          PyObject *file, PyObject *what, const char *name,
                          PyObject *offset)
{
    int64_t at = 0;
    FileOpObject *op;
    int fd;

    if (offset && arg_int(offset, "offset", 0, INT64_MAX, &at) < 0) {
        return NULL;
    }
    if (!what) {
        op = alloc(state, kind, file, at, 0);
    } else if (kind == FILE_READ && PyIndex_Check(what) &&
               !PyObject_CheckBuffer(what)) {
        op = alloc(state, kind, file, at, 1);
        if (op && add_new_bytes(op, what) < 0) {
            Py_CLEAR(op);
        }
    } else {
        op = new_with_views(state, kind, file, what, name, at);
    }
    /* At last: what is given may run code, which may close it. */
    if (op && arg_fd(file, &fd) < 0) {
        Py_CLEAR(op);
    }
    if (op) {
        op->io.fd = fd;
    }
    return op;
}

/* What was read: the bytes object, no longer than that. */
static PyObject *take_bytes(FileOpObject *op)
{
    PyObject *bytes = op->bytes;

    op->bytes = NULL;
    if ((size_t)PyBytes_GET_SIZE(bytes) != op->moved) {
        _PyBytes_Resize(&bytes, (Py_ssize_t)op->moved);
    }
    return bytes;
}

PyObject *file_op_result(FileOpObject *op, int64_t ret)
{
    /* As a read that has begun has it: what has come is more than an error. */
    if (ret < 0 && !op->moved) {
        return raise_errno((int)ret);
    }
    op->moved += ret < 0 ? 0 : (size_t)ret;
    if (op->io.kind == FILE_SYNC || op->io.kind == FILE_DATASYNC) {
        return Py_NewRef(Py_None);
    }
    return op->bytes ? take_bytes(op) : PyLong_FromSize_t(op->moved);
}

uintptr_t file_op_key(const FileOpObject *op)
{
    return (uintptr_t)Py_TYPE(op) + op->io.kind;
}

/* No tp_clear: it goes with its request. */
static int file_op_traverse(FileOpObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(op->file);
    for (Py_ssize_t i = 0; i < Py_SIZE(op); i++) {
        Py_VISIT(op->views[i].obj);
    }
    return 0;
}

void file_op_let_go(FileOpObject *op)
{
    for (Py_ssize_t i = 0; i < Py_SIZE(op); i++) {
        if (op->views[i].obj) {
            PyBuffer_Release(&op->views[i]);
        }
    }
}

static void file_op_dealloc(FileOpObject *op)
{
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    file_op_let_go(op);
    if (op->threads) {
        io_threads_unref(op->threads);
    }
    Py_XDECREF(op->bytes);
    Py_DECREF(op->file);
    PyObject_GC_Del(op);
    Py_DECREF(type);
}

static PyType_Slot file_op_slots[] = {
    {Py_tp_doc, "What is asked of a file."},
    {Py_tp_traverse, file_op_traverse},
    {Py_tp_dealloc, file_op_dealloc},
    {0, NULL},
};

PyType_Spec file_op_spec = {
    .name = "tpool._core.FileOp",
    .basicsize = offsetof(FileOpObject, views),
    .itemsize = sizeof(Py_buffer) + sizeof(struct iovec),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = file_op_slots,
};
