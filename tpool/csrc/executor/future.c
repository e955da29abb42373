/* SPDX-License-Identifier: MIT
 *
 * See future.h.  The way of a future: made by its submitter, run and ended by a worker.
 */
#include "executor/future.h"
#include "executor/future_tell.h"
#include "executor/future_trial.h"

void future_drop_call(FutureObject *f)
{
    Py_CLEAR(f->call);
    Py_CLEAR(f->kwnames);
}

bool future_enlist(FutureObject *f, struct future_waiter *w)
{
    bool open;

    atomic_init(&w->word, 0);
    Py_BEGIN_CRITICAL_SECTION(f);
    open = future_fate(f) == FUTURE_OPEN;
    if (open) {
        w->link.next = f->waiting;
        f->waiting = &w->link;
    }
    Py_END_CRITICAL_SECTION();
    return open;
}

bool future_delist(FutureObject *f, struct future_waiter *w)
{
    struct completion_node **at;
    bool found;

    if (pool_is_forked(f->pool)) {
        return true; /* see take_waiting() */
    }
    Py_BEGIN_CRITICAL_SECTION(f);
    for (at = &f->waiting; *at && *at != &w->link; at = &(*at)->next) {
    }
    found = *at != NULL;
    if (found) {
        *at = w->link.next;
    }
    Py_END_CRITICAL_SECTION();
    return found;
}

void future_wake(struct pool_core *pool, struct completion_node *waiting)
{
    /* Relaxed: a figure. */
    int64_t lag_ns = atomic_load_explicit(&pool->core->cpus.worker_lag_ns,
                                          memory_order_relaxed);

    while (waiting) {
        struct future_waiter *w = container_of(waiting, struct future_waiter,
                                               link);

        waiting = waiting->next; /* its own from the wake-up on */
        if (word_set(&pool->waits, &w->word, 0, lag_ns ? lag_ns : 1)) {
            word_wake(&pool->waits, &w->word);
        }
    }
}

/*
 * Critical section.  Those who wait; none in the child of a fork: they are threads of the
 * parent's, and where their stacks were there is something else by now.
 */
static struct completion_node *take_waiting(FutureObject *f)
{
    struct completion_node *waiting = f->waiting;

    f->waiting = NULL;
    return pool_is_forked(f->pool) ? NULL : waiting;
}

/* Critical section.  Whether it was open, and has ended now. */
static bool end_now(FutureObject *f, struct future_end *end)
{
    if (future_fate(f) != FUTURE_OPEN) {
        return false;
    }
    f->result = end->result;
    f->exception = end->exception;
    end->waiting = take_waiting(f);
    end->callbacks = f->callbacks;
    f->callbacks = NULL;
    atomic_store_explicit(&f->fate, end->fate, memory_order_release);
    if (!PyObject_GC_IsTracked((PyObject *)f)) {
        PyObject_GC_Track(f); /* no queue holds it any more */
    }
    return true;
}

/* Condition held.  Tells those of wait() and as_completed(). */
static void tell_waiters(FutureObject *f, struct future_end *end)
{
    struct module_state *state = f->pool->state;
    PyObject *what = end->fate == FUTURE_CANCELLED ? state->str_add_cancelled
                     : f->exception                ? state->str_add_exception
                                                   : state->str_add_result;
    PyObject *waiters;

    Py_BEGIN_CRITICAL_SECTION(f);
    waiters = Py_XNewRef(f->waiters);
    Py_END_CRITICAL_SECTION();
    future_tell((PyObject *)f, waiters, what, &end->raised);
    Py_XDECREF(waiters);
}

/* Calls a method of its condition.  0, or -1 with an exception. */
static int ask(PyObject *condition, PyObject *method)
{
    PyObject *result = PyObject_CallMethodNoArgs(condition, method);

    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* The same as future_end(), with the condition. */
static int end_with_condition(FutureObject *f, PyObject *condition,
                              struct future_end *end)
{
    struct module_state *state = f->pool->state;
    bool ended;

    if (ask(condition, state->str_acquire) < 0) {
        return -1;
    }
    Py_BEGIN_CRITICAL_SECTION(f);
    ended = end_now(f, end);
    Py_END_CRITICAL_SECTION();
    if (ended) {
        tell_waiters(f, end);
        if (ask(condition, state->str_notify_all) < 0) {
            future_keep(&end->raised, condition);
        }
    }
    if (ask(condition, state->str_release) < 0) {
        PyErr_WriteUnraisable(condition);
    }
    return ended;
}

int future_end(FutureObject *f, struct future_end *end)
{
    PyObject *condition;
    int ret = 0;

    Py_BEGIN_CRITICAL_SECTION(f);
    condition = Py_XNewRef(f->condition);
    if (!condition) {
        ret = end_now(f, end);
    }
    Py_END_CRITICAL_SECTION();
    if (condition) {
        ret = end_with_condition(f, condition, end);
        Py_DECREF(condition);
    }
    return ret;
}

int future_settle(FutureObject *f, enum future_fate fate, PyObject *result,
                  PyObject *exception)
{
    struct future_end end = {
        .fate = fate, .result = result, .exception = exception};
    int ret = future_end(f, &end);

    if (ret <= 0) {
        Py_XDECREF(result);
        Py_XDECREF(exception);
        return ret;
    }
    future_wake(f->pool, end.waiting);
    if (future_call_all_back((PyObject *)f, end.callbacks, false) < 0) {
        future_keep(&end.raised, (PyObject *)f);
    }
    if (end.raised) {
        put_exception(end.raised);
        return -1;
    }
    return 1;
}

/*
 * Worker.  Ends it with what the call has returned, or, where that is NULL, has raised.
 * Returns who waits.
 */
static struct completion_node *finish(FutureObject *f, PyObject *result)
{
    struct future_end end = {.fate = FUTURE_FINISHED, .result = result};
    int ret;

    if (!result) {
        end.exception = take_exception();
    }
    ret = future_end(f, &end);
    if (ret < 0) { /* its condition fails; or that was sent to this thread */
        PyErr_WriteUnraisable((PyObject *)f);
        Py_BEGIN_CRITICAL_SECTION(f);
        ret = end_now(f, &end);
        Py_END_CRITICAL_SECTION();
    }
    if (ret == 0) {
        future_report((PyObject *)f, "%r has been ended by somebody else");
        Py_XDECREF(end.result);
        Py_XDECREF(end.exception);
        return NULL;
    }
    if (end.raised) {
        put_exception(end.raised);
        PyErr_WriteUnraisable((PyObject *)f);
    }
    if (end.callbacks) {
        future_wake(f->pool, end.waiting); /* callbacks may last */
        end.waiting = NULL;
        future_call_all_back((PyObject *)f, end.callbacks, true);
    }
    return end.waiting;
}

/*
 * Off the queue, or run: it is in flight no more.  It has ended before: what is dropped
 * here can run code that waits for that.
 */
static void leave_flight(FutureObject *f)
{
    aio_core_end_call(f->pool->core);
    future_drop_call(f);
}

#ifdef Py_GIL_DISABLED
static bool drop_may_run_code(PyObject *Py_UNUSED(call))
{
    return true; /* what others have they may drop meanwhile */
}
#else
/* Whether the call has the last reference, and to drop it may run code. */
static bool has_last(PyObject *call, PyObject *o)
{
    Py_ssize_t its = 0;

    if (!PyObject_IS_GC(o) &&
        !PyType_HasFeature(Py_TYPE(o), Py_TPFLAGS_HEAPTYPE)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(call); i++) {
        its += PyTuple_GET_ITEM(call, i) == o;
    }
    return Py_REFCNT(o) <= its;
}

/* Whether to drop the call may run code, which may wait for who waits. */
static bool drop_may_run_code(PyObject *call)
{
    Py_ssize_t i = 0, n = PyTuple_GET_SIZE(call);

    while (i < n && !has_last(call, PyTuple_GET_ITEM(call, i))) {
        i++;
    }
    return i < n;
}
#endif

/* Takes the queue's reference. */
static struct completion_node *future_run(struct work *w,
                                          struct call_times *times)
{
    FutureObject *f = future_of(w);
    struct trace *trace = &f->pool->state->trace;
    int64_t begin_ns = clock_now_ns();
    struct completion_node *waiting;
    Py_ssize_t nkw = f->kwnames ? PyTuple_GET_SIZE(f->kwnames) : 0;
    PyObject **args = &PyTuple_GET_ITEM(f->call, 0), *result;
    size_t nargs = (size_t)(PyTuple_GET_SIZE(f->call) - 1 - nkw);
    bool waited;

    times->wait_ns = begin_ns - f->submit_ns;
    times->run_ns = -1;
    if (future_fate(f) != FUTURE_OPEN) {
        future_report((PyObject *)f, "%r was ended before it was run");
        leave_flight(f);
        Py_DECREF(f);
        return NULL;
    }
    trace_emit_at(trace, TRACE_THREAD_POOL_START, f, 0, begin_ns);
    result = PyObject_Vectorcall(
        args[0], args + 1, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, f->kwnames);
    times->run_ns = clock_now_ns() - begin_ns;
    trace_emit_at(trace, TRACE_THREAD_POOL_COMPLETE, f, 0,
                  begin_ns + times->run_ns);
    waiting = finish(f, result);
    waited = waiting != NULL;
    if (waited && drop_may_run_code(f->call)) {
        future_wake(f->pool, waiting);
        waiting = NULL;
    }
    leave_flight(f);
    if (!waited) {
        future_trial_feed(f->pool, false);
    }
    Py_DECREF(f);
    return waiting;
}

/* Takes the queue's reference. */
static void future_fail(struct work *w)
{
    FutureObject *f = future_of(w);

    pool_raise_down(f->pool);
    if (future_settle(f, FUTURE_FINISHED, NULL, take_exception()) < 0) {
        PyErr_WriteUnraisable((PyObject *)f);
    }
    leave_flight(f);
    Py_DECREF(f);
}

int future_cancel_taken(FutureObject *f)
{
    int ret;

    trace_emit(&f->pool->state->trace, TRACE_THREAD_POOL_CANCEL, f, 0);
    atomic_fetch_add_explicit(&f->pool->cancelled, 1, memory_order_relaxed);
    ret = future_settle(f, FUTURE_CANCELLED, NULL, NULL);
    leave_flight(f);
    Py_DECREF(f);
    return ret;
}

static void future_cancel_queued(struct work *w)
{
    if (future_cancel_taken(future_of(w)) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}

/* What is left out is for what is on the list of a context. */
static const struct work_ops future_ops = {
    .run = future_run,
    .fail = future_fail,
    .cancel = future_cancel_queued,
};

/* The garbage collector need not know of a future that is queued: see request_track(). */
FutureObject *future_new(struct pool_core *pool, PyTypeObject *type,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject *call = PyTuple_New(n);
    FutureObject *f;

    if (!call) {
        return NULL;
    }
    PyObject_GC_UnTrack(call);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyTuple_SET_ITEM(call, i, Py_NewRef(args[i]));
    }
    f = (FutureObject *)type->tp_alloc(type, 0);
    if (!f) {
        Py_DECREF(call);
        return NULL;
    }
    PyObject_GC_UnTrack(f);
    work_init(&f->base.work, &future_ops);
    f->pool = pool_core_ref(pool);
    f->submit_ns = clock_now_ns();
    f->call = call;
    f->kwnames = Py_XNewRef(kwnames);
    atomic_init(&f->fate, FUTURE_OPEN);
    return f;
}
