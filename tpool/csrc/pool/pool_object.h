/* SPDX-License-Identifier: MIT
 *
 * A pool as Python has it: what the types ThreadPool and ThreadPoolExecutor share.
 */
#ifndef TPOOL_POOL_POOL_OBJECT_H
#define TPOOL_POOL_POOL_OBJECT_H

#include "pool/pool_core.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    /* Immutable after new. */
    struct pool_core *pool;
    AioContextObject *context; /* NULL: an executor has none */
} PoolObject;

/* Any thread, GIL held.  What was counted; what submit() took back was not submitted. */
void pool_get_stats(struct pool_core *pool, struct queue_stats *s);

/* Methods, getters and tp_dealloc. */
PyObject *pool_close_method(PoolObject *self, PyObject *args);
PyObject *pool_stats(PoolObject *self, PyObject *ignored);
PyObject *pool_get_down(PoolObject *self, void *closure);
void pool_dealloc(PoolObject *self);

/* What tp_new is given, and not all of it: by these names, or an exception (-1). */
int pool_parse_config(PyObject *idle_timeout, PyObject *name_prefix,
                      PyObject *max_pending, PyObject *on_full,
                      struct pool_config *config);

#define POOL_CLOSE_DOC                                                         \
    "_close($self, why, cancel, /)\n--\n\n"                                    \
    "Accept no more requests, for the reason given; cancel those that\n"       \
    "are queued; have the workers leave when the queue is empty.\n"            \
    "\n"                                                                       \
    "Returns:\n"                                                               \
    "    False in the child of a fork, where there is nothing to wait for.\n"  \
    "\n"                                                                       \
    "Context: Any thread."

#define POOL_STATS_DOC                                                         \
    "_stats($self, /)\n--\n\n"                                                 \
    "The fields of PoolStats, by name."

#define POOL_DOWN_DOC "Whether it takes no more requests: it was shut down."

#endif
