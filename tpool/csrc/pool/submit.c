/* SPDX-License-Identifier: MIT
 *
 * The way of a request from its submitter to the queue.
 */
#include "py/args.h"
#include "pool/submit.h"
#include "pool/worker.h"
#include "pool/request.h"

/* A submitter that waits for room looks for signals this often. */
#define ROOM_WAIT_NS (20 * NS_PER_MS)

/* Waits until there may be room.  Returns 0, or -1 with an exception. */
static int wait_for_room(PoolObject *self)
{
    struct pool_core *pool = self->pool;
    struct timespec ts;
    bool progress;
    int ret;

    atomic_fetch_add_explicit(&pool->waiters, 1, memory_order_relaxed);
    if (owner_is_me(&self->context->owner)) {
        /* The others need the owner to go on: completions are dispatched. */
        ret = context_poll(self->context, ROOM_WAIT_NS, &progress);
    } else {
        Py_BEGIN_ALLOW_THREADS
        ts = timespec_from_ns(clock_now_ns() + ROOM_WAIT_NS);
        pthread_mutex_lock(&pool->room_lock);
        pthread_cond_timedwait(&pool->room, &pool->room_lock, &ts);
        pthread_mutex_unlock(&pool->room_lock);
        Py_END_ALLOW_THREADS
        ret = PyErr_CheckSignals();
    }
    atomic_fetch_sub_explicit(&pool->waiters, 1, memory_order_relaxed);
    return ret;
}

int pool_check_here(struct pool_core *pool)
{
    if (pool_is_forked(pool)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the ThreadPool belongs to the process that was "
                        "forked, not to its child");
        return -1;
    }
    return 0;
}

int pool_check_up(PoolObject *self)
{
    /* Relaxed: who submits beside shutdown() may come before it, or after. */
    const char *down = atomic_load_explicit(&self->pool->down,
                                            memory_order_relaxed);

    if (pool_check_here(self->pool) < 0) {
        return -1;
    }
    if (down) {
        PyErr_SetString(PyExc_RuntimeError, down);
        return -1;
    }
    return context_check_open(self->context);
}

/* Counts n more requests as queued.  Returns 0, or -1 with an exception. */
static int reserve(PoolObject *self, uint32_t n)
{
    struct pool_core *pool = self->pool;

    for (;;) {
        if (pool_check_up(self) < 0) {
            return -1;
        }
        if (request_queue_reserve(&pool->queue, n, pool->max_pending)) {
            return 0;
        }
        if (!self->block) {
            PyErr_Format(pool->state->pool_full,
                         "the pool is full: max_pending=%lu requests wait for "
                         "a thread",
                         (unsigned long)pool->max_pending);
            return -1;
        }
        if (wait_for_room(self) < 0) {
            return -1;
        }
    }
}

/*
 * Hands a chain of n reserved requests for one callable over; the chain's
 * references go with it.  Returns 0, or -1 with an exception: no worker could be started and none is
 * there, or a signal handler raised; the caller takes back what it can.
 */
static int push(struct pool_core *pool, RequestObject *newest,
                RequestObject *oldest, uint32_t n)
{
    enum queue_need need;
    uint32_t left;

    aio_core_add_calls(pool->core, n, newest->submit_ns);
    call_table_submitted(&pool->core->calls, newest->place, n,
                         newest->submit_ns);
    need = request_queue_push(&pool->queue, &newest->base.work,
                              &oldest->base.work);
    if (need == QUEUE_SEEN && pool_is_spawning(pool)) {
        need = request_queue_find_another(&pool->queue);
    }
    if (need != QUEUE_SPAWN || pool_spawn(pool, &left) == 0) {
        return 0;
    }
    if (left > 0 && !exception_is_fatal()) {
        PyErr_Clear(); /* counted; the workers there are do the work */
        return 0;
    }
    return -1;
}

/* After a push that failed: forgets r unless a worker has it already. */
static void take_back(struct pool_core *pool, RequestObject *r)
{
    if (request_queue_cancel(&pool->queue, &r->base.work)) {
        atomic_fetch_sub_explicit(&pool->core->in_flight, 1,
                                  memory_order_relaxed);
        call_place_forget(r->place);
        atomic_fetch_add_explicit(&pool->taken_back, 1, memory_order_relaxed);
        pool_wake_owner(pool); /* it may wait for r, to close the pool */
        Py_DECREF(r);          /* the queue's */
    }
}

/* Takes over the reference to r, a new one, and returns one to it. */
static PyObject *submit(PoolObject *self, RequestObject *r)
{
    if (!r) {
        return NULL;
    }
    /* After the allocation, which can run a garbage collection. */
    if (reserve(self, 1) < 0) {
        Py_DECREF(r);
        return NULL;
    }
    trace_emit_at(&self->pool->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                  r->submit_ns);
    Py_INCREF(r); /* the queue's */
    r->base.work.queued = true;
    if (push(self->pool, r, r, 1) < 0) {
        take_back(self->pool, r);
        pool_fail_if_deserted(self->pool);
        Py_DECREF(r);
        return NULL;
    }
    return (PyObject *)r;
}

PyObject *pool_submit(PoolObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    PyObject *fn;

    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "submit() needs a callable fn");
        return NULL;
    }
    if (arg_callable(args[0], "fn", false, &fn) < 0) {
        return NULL;
    }
    return submit(
        self, request_new(self->pool, NULL, fn, args + 1, nargs - 1, kwnames));
}

PyObject *pool_submit_for(PoolObject *self, PyObject *const *args,
                          Py_ssize_t nargs)
{
    RequestObject *r;

    if (nargs < 3) {
        PyErr_SetString(PyExc_TypeError,
                        "_submit_for() needs a future, settle and fn");
        return NULL;
    }
    r = request_new(self->pool, args[0], args[2], args + 3, nargs - 3, NULL);
    if (r) {
        r->callback = Py_NewRef(args[1]);
    }
    return submit(self, r);
}

/* No list of Python's: that could be found, and emptied, by what makes the tuples. */
struct batch {
    Py_ssize_t used, size;
    RequestObject **requests;
};

static void batch_free(struct batch *b)
{
    for (Py_ssize_t i = 0; i < b->used; i++) {
        Py_DECREF(b->requests[i]);
    }
    PyMem_Free(b->requests);
}

/* Takes over the reference to r, which may be NULL.  0, or -1 with an exception. */
static int batch_add(struct batch *b, RequestObject *r)
{
    if (r && b->used == b->size) {
        Py_ssize_t size = b->size ? 2 * b->size : 16;
        RequestObject **requests = PyMem_Realloc(
            b->requests, (size_t)size * sizeof(RequestObject *));

        if (!requests) {
            PyErr_NoMemory();
            Py_CLEAR(r);
        } else {
            b->requests = requests;
            b->size = size;
        }
    }
    if (!r) {
        return -1;
    }
    b->requests[b->used++] = r;
    return 0;
}

/* item: a tuple, or something else.  NULL with an exception. */
static RequestObject *request_of_tuple(PoolObject *self, PyObject *fn,
                                       PyObject *item)
{
    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError,
                     "argtuples must hold tuples of arguments, not %R", item);
        return NULL;
    }
    return request_new(self->pool, NULL, fn, &PyTuple_GET_ITEM(item, 0),
                       PyTuple_GET_SIZE(item), NULL);
}

/* Fills b with requests for fn, one for each tuple.  0, or -1 with an exception. */
static int batch_fill(struct batch *b, PoolObject *self, PyObject *fn,
                      PyObject *argtuples)
{
    PyObject *iterator, *item;
    int ret = 0;

    if (!Py_TYPE(argtuples)->tp_iter && !PySequence_Check(argtuples)) {
        PyErr_Format(PyExc_TypeError, "argtuples must be iterable, not %R",
                     argtuples);
        return -1;
    }
    iterator = PyObject_GetIter(argtuples);
    if (!iterator) {
        return -1;
    }
    while (ret == 0 && (item = PyIter_Next(iterator))) {
        ret = batch_add(b, request_of_tuple(self, fn, item));
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return ret < 0 || PyErr_Occurred() ? -1 : 0;
}

/* Not tracked: nobody finds it, nor a request in it, before it is returned. */
static PyObject *batch_list(const struct batch *b)
{
    PyObject *list = PyList_New(b->used);

    if (list) {
        PyObject_GC_UnTrack(list);
        for (Py_ssize_t i = 0; i < b->used; i++) {
            PyList_SET_ITEM(list, i, Py_NewRef((PyObject *)b->requests[i]));
        }
    }
    return list;
}

/* Chains some of b and hands them over. */
static int push_slice(struct pool_core *pool, const struct batch *b,
                      Py_ssize_t begin, Py_ssize_t end)
{
    RequestObject *oldest = b->requests[begin], *newest = NULL;

    for (Py_ssize_t i = begin; i < end; i++) {
        RequestObject *r = b->requests[i];

        trace_emit_at(&pool->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                      r->submit_ns);
        Py_INCREF(r); /* the queue's */
        r->base.work.queued = true;
        /* Counted at one place: others may have claimed that of a later one. */
        r->place = oldest->place;
        r->base.work.link.next = newest ? &newest->base.work.link : NULL;
        newest = r;
    }
    return push(pool, newest, oldest, (uint32_t)(end - begin));
}

/* Reserves as many of n as there is room for: at least one, or all. */
static Py_ssize_t reserve_slice(PoolObject *self, Py_ssize_t n)
{
    struct pool_core *pool = self->pool;
    uint32_t some;

    n = n < THREADS_MAX ? n : THREADS_MAX;
    if (!self->block) {
        return reserve(self, (uint32_t)n) < 0 ? -1 : n;
    }
    if (pool_check_up(self) < 0) {
        return -1;
    }
    some = request_queue_reserve_some(&pool->queue, (uint32_t)n,
                                      pool->max_pending);
    if (some) {
        return some;
    }
    return reserve(self, 1) < 0 ? -1 : 1;
}

/* Submits all of b.  0, or -1 with an exception, and nothing is submitted. */
static int push_batch(PoolObject *self, const struct batch *b)
{
    Py_ssize_t done, room = 0;

    for (done = 0; done < b->used; done += room) {
        room = reserve_slice(self, b->used - done);
        if (room < 0 || push_slice(self->pool, b, done, done + room) < 0) {
            break;
        }
    }
    if (done == b->used) {
        return 0;
    }
    for (done += room > 0 ? room : 0; done > 0; done--) {
        take_back(self->pool, b->requests[done - 1]);
    }
    pool_fail_if_deserted(self->pool);
    return -1;
}

PyObject *pool_submit_many(PoolObject *self, PyObject *args)
{
    PyObject *fn, *argtuples, *list = NULL;
    struct batch b = {0};

    if (!PyArg_ParseTuple(args, "OO:submit_many", &fn, &argtuples) ||
        arg_callable(fn, "fn", false, &fn) < 0 || pool_check_up(self) < 0) {
        return NULL;
    }
    if (batch_fill(&b, self, fn, argtuples) == 0) {
        list = batch_list(&b);
    }
    if (list && push_batch(self, &b) == 0) {
        PyObject_GC_Track(list);
    } else {
        Py_CLEAR(list);
    }
    batch_free(&b);
    return list;
}
