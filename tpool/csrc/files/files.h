/* SPDX-License-Identifier: MIT
 *
 * AioFiles: reads and writes of files, for the owner of a context.
 *
 * A read of what is in the page cache is made at once, in the owner; all else is a
 * request, which the kernel makes, by a queue of the context, or a thread of that.
 */
#ifndef TPOOL_FILES_FILES_H
#define TPOOL_FILES_FILES_H

#include "files/file_op.h"
#include "pool/submit.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    /* Immutable after new. */
    AioContextObject *context;
    PoolObject *threads;         /* whose requests all are; it makes none */
    struct kernel_io *kernel_io; /* of the context; NULL: threads make all */
    /* Owner. */
    uint64_t
        turn;     /* of the context, in which so much was read from the cache */
    size_t spent; /* bytes */
    /* Any thread. */
    atomic_bool closed;
} FilesObject;

#endif
