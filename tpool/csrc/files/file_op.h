/* SPDX-License-Identifier: MIT
 *
 * FileOp: what a request asks of a file, and the buffers that it holds meanwhile.
 *
 * It stands for the call of the request: a thread, or the kernel, does what it says.  It
 * holds its buffers by the buffer protocol, so that nobody resizes or frees them, until
 * the request drops it.
 */
#ifndef TPOOL_FILES_FILE_OP_H
#define TPOOL_FILES_FILE_OP_H

#include "py/state.h"
#include "source/io_threads.h"
#include "source/kernel_io.h"

/* What entry.ret is until somebody has done it: no -errno. */
#define FILE_OP_NOT_DONE INT64_MIN

typedef struct {
    PyObject_VAR_HEAD
    /* Immutable after new. */
    PyObject *file; /* what was given for the fd: closed by no collection */
    /* Owner, or who does it. */
    struct file_io io; /* what is left to be asked for */
    size_t moved;      /* bytes, before that */
    PyObject *bytes;   /* a new object that is read into; NULL: views are */
    /* The context's, while it is in a queue of the kernel's; a thread leaves ret there. */
    struct kernel_io_entry entry;
    struct io_threads *threads; /* whose it is; NULL: nobody's of them */
    Py_buffer views[]; /* Py_SIZE of them, and then an iovec for each */
} FileOpObject;

/*
 * GIL held.  file: an fd, or an object that has one.  what: of a read a length, a
 * writable buffer, or a sequence of these; of a write a buffer or a sequence of them; of
 * a sync NULL.  NULL with an exception, which calls what by that name.
 */
FileOpObject *file_op_new(struct module_state *state, enum file_io_kind kind,
                          PyObject *file, PyObject *what, const char *name,
                          PyObject *offset);

/*
 * GIL held, once.  ret: what the last call has returned, bytes or -errno.  The result of
 * all of it, or NULL with an exception.
 */
PyObject *file_op_result(FileOpObject *op, int64_t ret);

/* GIL held; can run code.  Of its buffers: it is not done, and nobody will. */
void file_op_let_go(FileOpObject *op);

/* What the times of such calls are learned by. */
uintptr_t file_op_key(const FileOpObject *op);

#endif
