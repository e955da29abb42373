/* SPDX-License-Identifier: MIT
 *
 * ThreadPool, and the way from a submitter to the queue.
 */
#ifndef TPOOL_POOL_SUBMIT_H
#define TPOOL_POOL_SUBMIT_H

#include "pool/pool_core.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    /* Immutable after new. */
    struct pool_core *pool;
    AioContextObject *context;
    bool block; /* a full pool blocks instead of raising */
} PoolObject;

/* Any thread, GIL held: 0 while requests are accepted, or -1 with an exception. */
int pool_check_up(PoolObject *self);

/* Methods. */
PyObject *pool_submit(PoolObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames);
PyObject *pool_submit_for(PoolObject *self, PyObject *const *args,
                          Py_ssize_t nargs);
PyObject *pool_submit_many(PoolObject *self, PyObject *args);

#endif
