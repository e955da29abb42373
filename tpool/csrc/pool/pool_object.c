/* SPDX-License-Identifier: MIT
 *
 * See pool_object.h.
 */
#include "pool/pool_object.h"
#include "pool/pools.h"
#include "py/args.h"
#include "py/stats.h"

PyObject *pool_close_method(PoolObject *self, PyObject *args)
{
    int why, cancel;

    if (!PyArg_ParseTuple(args, "ip:_close", &why, &cancel)) {
        return NULL;
    }
    if (why < 0 || why > POOL_EXIT) {
        PyErr_Format(PyExc_ValueError, "why must be 0 or 1, not %d", why);
        return NULL;
    }
    if (pool_is_forked(self->pool)) {
        Py_RETURN_FALSE;
    }
    pool_close(self->pool, (enum pool_down)why, cancel);
    Py_RETURN_TRUE;
}

void pool_get_stats(struct pool_core *pool, struct queue_stats *s)
{
    request_queue_get_stats(&pool->queue, s);
    s->submitted -= atomic_load_explicit(&pool->taken_back,
                                         memory_order_relaxed);
    s->submitted += atomic_load_explicit(&pool->unqueued, memory_order_relaxed);
    s->completed += atomic_load_explicit(&pool->unqueued_done,
                                         memory_order_relaxed);
}

PyObject *pool_stats(PoolObject *self, PyObject *Py_UNUSED(ignored))
{
    struct pool_core *pool = self->pool;
    struct queue_stats s;
    PyObject *stats;

    if (pool_check_here(pool) < 0) {
        return NULL;
    }
    pool_get_stats(pool, &s);
#define ITEM(name) {#name, s.name},
    stats = stats_dict((struct stat_item[]){
        QUEUE_COUNTERS(ITEM){"cancelled", counter_get(&pool->cancelled)},
        {"spawn_failures", counter_get(&pool->spawn_failures)},
        {"wakeups_saved",
         s.submitted > s.wakeups ? s.submitted - s.wakeups : 0},
        {NULL, 0},
    });
#undef ITEM
    stats = stats_add_counts(stats, "wait_counts", s.waits.counts,
                             HISTOGRAM_BUCKETS);
    return stats_add_counts(stats, "run_counts", s.runs.counts,
                            HISTOGRAM_BUCKETS);
}

PyObject *pool_get_down(PoolObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(pool_down(self->pool) != POOL_UP);
}

/* "raise" or "block".  Returns 0, or -1 with an exception. */
static int parse_on_full(PyObject *on_full, bool *block)
{
    bool is_str = PyUnicode_Check(on_full);

    *block = is_str && PyUnicode_CompareWithASCIIString(on_full, "block") == 0;
    if (*block ||
        (is_str && PyUnicode_CompareWithASCIIString(on_full, "raise") == 0)) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "on_full must be 'raise' or 'block', not %R",
                 on_full);
    return -1;
}

int pool_parse_config(PyObject *idle_timeout, PyObject *name_prefix,
                      PyObject *max_pending, PyObject *on_full,
                      struct pool_config *config)
{
    int64_t most = QUEUE_UNBOUNDED;

    if (!PyUnicode_Check(name_prefix)) {
        PyErr_Format(PyExc_TypeError,
                     "thread_name_prefix must be a str, not %R", name_prefix);
        return -1;
    }
    if (arg_seconds(idle_timeout, "idle_timeout", &config->idle_timeout_ns) <
            0 ||
        (max_pending != Py_None && arg_int(max_pending, "max_pending", 1,
                                           QUEUE_UNBOUNDED - 1, &most) < 0) ||
        parse_on_full(on_full, &config->block) < 0) {
        return -1;
    }
    config->name_prefix = name_prefix;
    config->max_pending = (uint32_t)most;
    return 0;
}

/* Dropped: what was submitted still runs, then the workers leave. */
void pool_dealloc(PoolObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    if (self->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->pool && !pool_is_forked(self->pool)) {
        request_queue_shutdown(&self->pool->queue);
        pool_core_unref(self->pool);
    }
    Py_XDECREF(self->context);
    type->tp_free(self);
    Py_DECREF(type);
}
