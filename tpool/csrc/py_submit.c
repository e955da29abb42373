/* SPDX-License-Identifier: MIT
 *
 * The way of a request from its submitter to the queue.
 */
#include "py_args.h"
#include "py_pool.h"
#include "py_request.h"

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
    if (context_is_owner(self->context)) {
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

int pool_check_up(PoolObject *self)
{
    /* Relaxed: who submits beside shutdown() may come before it, or after. */
    const char *down = atomic_load_explicit(&self->down, memory_order_relaxed);

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

    /* Relaxed: a count; a completion of these can only come after the push. */
    atomic_fetch_add_explicit(&pool->core->aio.in_flight, n,
                              memory_order_relaxed);
    call_table_submitted(&pool->core->aio.calls, newest->place, n,
                         newest->submit_ns);
    need = request_queue_push(&pool->queue, &newest->work.node,
                              &oldest->work.node);
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
    if (request_queue_cancel(&pool->queue, &r->work.node)) {
        atomic_fetch_sub_explicit(&pool->core->aio.in_flight, 1,
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
    r->work.node.queued = true;
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
        r->callbacks = Py_NewRef(args[1]);
    }
    return submit(self, r);
}

/* A list of requests for fn, one for each tuple.  NULL with an exception. */
static PyObject *requests_new(PoolObject *self, PyObject *fn,
                              PyObject *argtuples)
{
    PyObject *iterator, *item, *list = NULL;

    if (!Py_TYPE(argtuples)->tp_iter && !PySequence_Check(argtuples)) {
        PyErr_Format(PyExc_TypeError, "argtuples must be iterable, not %R",
                     argtuples);
        return NULL;
    }
    iterator = PyObject_GetIter(argtuples);
    if (!iterator) {
        return NULL;
    }
    list = PyList_New(0);
    while (list && (item = PyIter_Next(iterator))) {
        RequestObject *r = NULL;

        if (!PyTuple_Check(item)) {
            PyErr_Format(PyExc_TypeError,
                         "argtuples must hold tuples of arguments, not %R",
                         item);
        } else {
            r = request_new(self->pool, NULL, fn, &PyTuple_GET_ITEM(item, 0),
                            PyTuple_GET_SIZE(item), NULL);
        }
        Py_DECREF(item);
        if (!r || PyList_Append(list, (PyObject *)r) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(r);
    }
    if (PyErr_Occurred()) {
        Py_CLEAR(list);
    }
    Py_DECREF(iterator);
    return list;
}

/* Chains list[begin:end] and hands it over. */
static int push_slice(struct pool_core *pool, PyObject *list, Py_ssize_t begin,
                      Py_ssize_t end)
{
    RequestObject *oldest, *newest = NULL;

    oldest = (RequestObject *)PyList_GET_ITEM(list, begin);
    for (Py_ssize_t i = begin; i < end; i++) {
        RequestObject *r = (RequestObject *)PyList_GET_ITEM(list, i);

        trace_emit_at(&pool->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                      r->submit_ns);
        Py_INCREF(r); /* the queue's */
        r->work.node.queued = true;
        /* Counted at one place: others may have claimed that of a later one. */
        r->place = oldest->place;
        r->work.node.link.next = newest ? &newest->work.node.link : NULL;
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

PyObject *pool_submit_many(PoolObject *self, PyObject *args)
{
    PyObject *fn, *argtuples, *list;
    Py_ssize_t n, done, room = 0;

    if (!PyArg_ParseTuple(args, "OO:submit_many", &fn, &argtuples) ||
        arg_callable(fn, "fn", false, &fn) < 0 || pool_check_up(self) < 0) {
        return NULL;
    }
    list = requests_new(self, fn, argtuples);
    if (!list) {
        return NULL;
    }
    n = PyList_GET_SIZE(list);
    for (done = 0; done < n; done += room) {
        room = reserve_slice(self, n - done);
        if (room < 0 || push_slice(self->pool, list, done, done + room) < 0) {
            break;
        }
    }
    if (done == n) {
        return list;
    }
    for (done += room > 0 ? room : 0; done > 0; done--) {
        take_back(self->pool, (RequestObject *)PyList_GET_ITEM(list, done - 1));
    }
    pool_fail_if_deserted(self->pool);
    Py_DECREF(list);
    return NULL;
}
