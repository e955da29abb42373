/* SPDX-License-Identifier: MIT
 *
 * The methods of a ThreadPool that submit: requests, one or many.
 */
#include "py/args.h"
#include "pool/request.h"
#include "pool/submit.h"

/* Takes over the reference to r, a new one, and returns one to it. */
static PyObject *submit(PoolObject *self, RequestObject *r)
{
    /* After the allocation, which can run a garbage collection. */
    if (r && pool_submit_work(self, &r->base.work, r->submit_ns) < 0) {
        Py_CLEAR(r);
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

    if (nargs != 4 || !PyTuple_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError,
                        "_submit_for() needs a future, settle, fn and a tuple");
        return NULL;
    }
    r = request_new(self->pool, args[0], args[2], &PyTuple_GET_ITEM(args[3], 0),
                    PyTuple_GET_SIZE(args[3]), NULL);
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
    return pool_push(pool, &newest->base.work, &oldest->base.work,
                     (uint32_t)(end - begin), newest->submit_ns);
}

/* Reserves as many of n as there is room for: at least one, or all. */
static Py_ssize_t reserve_slice(PoolObject *self, Py_ssize_t n)
{
    struct pool_core *pool = self->pool;
    uint32_t some;

    n = n < THREADS_MAX ? n : THREADS_MAX;
    if (!pool->block) {
        return pool_reserve(self, (uint32_t)n) < 0 ? -1 : n;
    }
    if (pool_check_up(self) < 0) {
        return -1;
    }
    some = request_queue_reserve_some(&pool->queue, (uint32_t)n,
                                      pool->max_pending);
    if (some) {
        return some;
    }
    return pool_reserve(self, 1) < 0 ? -1 : 1;
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
        pool_take_back(self->pool, &b->requests[done - 1]->base.work);
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
