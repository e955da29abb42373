/* SPDX-License-Identifier: MIT
 *
 * See worker.h.  The loop of a worker, when it holds the GIL, and how it starts.
 */
#include "pool/worker.h"
#include "aio/handoff.h"
#include "pool/worker_thread.h"
#include "tune/batch.h"

/*
 * A worker that finds more requests queued keeps the GIL for this long: a
 * hand-over for each would cost more than most calls.
 */
#define BATCH_NS 20000
/* To pass over one that was cancelled takes about so long. */
#define SKIP_NS 100

enum worker_state {
    WORKER_STARTING,
    WORKER_RUNNING,
    WORKER_REVOKED
};

typedef struct {
    PyObject_HEAD
    struct pool_core *pool; /* immutable */
    struct queue_worker queue_worker;
    _Atomic int state;
    /* Its thread only. */
    bool batching; /* counted in aio_core.batching */
} WorkerObject;

static WorkerObject *worker_new(struct pool_core *pool)
{
    WorkerObject *w = PyObject_New(WorkerObject, pool->state->worker_type);

    if (w) {
        w->pool = pool_core_ref(pool);
        aio_core_enter(pool->core);
        request_queue_worker_init(&w->queue_worker);
        atomic_init(&w->state, WORKER_STARTING);
        w->batching = false;
    }
    return w;
}

static bool leave_starting(WorkerObject *w, int state)
{
    int starting = WORKER_STARTING;

    return atomic_compare_exchange_strong_explicit(&w->state, &starting, state,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* A worker that the queue has counted will not come. */
static enum queue_need count_lost(struct pool_core *pool, uint32_t *left)
{
    atomic_fetch_add_explicit(&pool->spawn_failures, 1, memory_order_relaxed);
    return request_queue_spawn_failed(&pool->queue, left);
}

bool pool_is_spawning(struct pool_core *pool)
{
    /* Relaxed: only this thread stores its own number. */
    return atomic_load_explicit(&pool->spawner, memory_order_relaxed) ==
           PyThread_get_thread_ident();
}

/* Returns 0, or -1 with an exception and what the queue needs then. */
static int spawn_one(struct pool_core *pool, uint32_t *left,
                     enum queue_need *need)
{
    unsigned long me = PyThread_get_thread_ident();
    /* Relaxed: of several threads that spawn at once one is known, a hint. */
    bool nested = atomic_exchange_explicit(&pool->spawner, me,
                                           memory_order_relaxed) == me;
    WorkerObject *worker = worker_new(pool);
    PyObject *result = NULL;

    *left = 1;
    *need = QUEUE_SEEN;
    if (worker) {
        result = PyObject_CallOneArg(pool->spawn, (PyObject *)worker);
    }
    if (!result && (!worker || leave_starting(worker, WORKER_REVOKED))) {
        *need = count_lost(pool, left);
    }
    if (!nested) {
        /* Another's number is left to it: what it forgets stays for ever. */
        atomic_compare_exchange_strong_explicit(
            &pool->spawner, &me, 0, memory_order_relaxed, memory_order_relaxed);
    }
    Py_XDECREF(worker);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* As often as more has come that relies on it: each failure is for some request. */
int pool_spawn(struct pool_core *pool, uint32_t *left)
{
    enum queue_need need;
    PyObject *fatal = NULL;
    int ret;

    while ((ret = spawn_one(pool, left, &need)) < 0 && need == QUEUE_SPAWN) {
        if (!fatal && exception_is_fatal()) {
            fatal = take_exception();
        }
        PyErr_Clear();
    }
    if (fatal) {
        PyErr_Clear();
        put_exception(fatal);
        return -1;
    }
    return ret;
}

static void pool_worker_lost(struct pool_core *pool)
{
    PyObject *exc = take_exception();
    uint32_t left;

    if (count_lost(pool, &left) != QUEUE_SPAWN) {
        pool_fail_if_deserted(pool);
    } else if (pool_spawn_helper(pool) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    put_exception(exc);
}

int pool_spawn_helper(struct pool_core *pool)
{
    uint32_t left;

    if (pool_spawn(pool, &left) == 0) {
        return 0;
    }
    pool_fail_if_deserted(pool);
    if (exception_is_fatal()) {
        return -1;
    }
    PyErr_Clear(); /* counted; the workers there are do the work */
    return 0;
}

/* It has left the queue for this worker. */
static void took(WorkerObject *w, struct work *work)
{
    atomic_store_explicit(&work->state, WORK_RUNNING, memory_order_relaxed);
    pool_room(w->pool);
}

static void begin_batch(WorkerObject *w, int64_t left_ns)
{
    aio_batch_begin(w->pool->core, left_ns);
    w->batching = true;
}

/* Whether calls are run one at a time. */
static bool is_serial(const struct pool_core *pool)
{
    return cpu_pair_abreast(&pool->core->cpus) == 1;
}

/* For how long others are begun after the first, and how long each may take. */
static int64_t batch_of(struct pool_core *pool, int64_t first_ns,
                        int64_t *call_ns)
{
    int64_t mean_ns;

    *call_ns = first_ns;
    if (!is_serial(pool)) {
        return BATCH_NS;
    }
    mean_ns = request_queue_call_ns(&pool->queue);
    if (mean_ns < first_ns) {
        *call_ns = mean_ns; /* the first may be the only one that is so long */
    }
    return batch_begin_ns(request_queue_count(&pool->queue), *call_ns);
}

/* Says so before the first call, unless that is as long as a batch. */
static void begin_serial_batch(WorkerObject *w)
{
    struct request_queue *q = &w->pool->queue;
    int64_t call_ns = request_queue_call_ns(q);
    int64_t whole_ns = batch_whole_ns(request_queue_count(q) + 1, call_ns);

    if (!w->batching && whole_ns > call_ns) {
        begin_batch(w, whole_ns);
    }
}

/*
 * Runs it and what is queued behind it; *end is of the last, not delivered yet.  False:
 * it has forked, and this is the child, where nothing is its own.
 */
static bool run_batch(WorkerObject *w, struct work *work,
                      struct completion_node **end)
{
    struct pool_core *pool = w->pool;
    int64_t spent_ns = 0, batch_ns = 0, call_ns;
    bool serial = is_serial(pool);

    if (serial) {
        begin_serial_batch(w);
    }
    for (;;) {
        struct work *next;
        struct call_times times;

        *end = work->ops->run(work, &times);
        if (pool_is_forked(pool)) {
            return false;
        }
        spent_ns += times.run_ns >= 0 ? times.run_ns : SKIP_NS;
        if (!batch_ns) {
            batch_ns = batch_of(pool, spent_ns, &call_ns);
        }
        next = request_queue_end_call(&pool->queue, &w->queue_worker, &times,
                                      spent_ns < batch_ns);
        if (!next) {
            return true;
        }
        if (!w->batching) {
            uint64_t queued = request_queue_count(&pool->queue) + 1;

            begin_batch(w, batch_left_ns(queued, call_ns, batch_ns - spent_ns));
        }
        /* Delivered with the GIL held: the next call may last. */
        pool->deliver(pool, *end, serial);
        took(w, next);
        work = next;
    }
}

/* The worker has waited: for how long it polled, and then was parked. */
static void trace_wait(WorkerObject *w)
{
    struct trace *trace = &w->pool->state->trace;
    int64_t begin_ns = w->queue_worker.wait_ns;
    int64_t polled_ns = w->queue_worker.poll_end_ns - begin_ns;

    if (!trace_is_on(trace) || begin_ns < 0) {
        return;
    }
    if (polled_ns > 0) {
        trace_record(trace, TRACE_WORKER_POLL, w->pool, polled_ns, begin_ns);
        begin_ns = w->queue_worker.poll_end_ns;
    }
    /* Relaxed: this thread has seen the wake-up that it came with. */
    if (atomic_load_explicit(&w->queue_worker.wake_ns, memory_order_relaxed) >=
        w->queue_worker.wait_ns) {
        trace_record(trace, TRACE_WORKER_PARK, w->pool,
                     clock_now_ns() - begin_ns, begin_ns);
    }
}

/* GIL released, so that the owner finds it free.  False: nobody will take it. */
static bool deliver(WorkerObject *w, struct completion_node *end)
{
    struct aio_core *core = w->pool->core;

    if (w->batching) {
        aio_batch_end(core);
        w->batching = false;
    }
    w->pool->deliver(w->pool, end, false);
    return !aio_core_is_detached(core);
}

#ifndef Py_GIL_DISABLED
/*
 * GIL released, a request is taken.  As aio_handoff_from_owner(); an executor's submitter
 * may be an event loop, which does not wait for results: it is not waited for in vain.
 */
static bool handoff_from_submitter(struct pool_core *pool)
{
    struct aio_core *core = pool->core;
    bool yields;

    if (pool->context_ref) {
        return aio_handoff_from_owner(core);
    }
    if (!aio_handoff_is_due(core)) {
        return false;
    }
    yields = aio_handoff_from_owner(core);
    aio_handoff_learn(core, aio_owner_waits(core));
    return yields;
}
#endif

/* GIL released.  Waits for some; NULL: none will come. */
static struct work *get(WorkerObject *w)
{
    struct pool_core *pool = w->pool;
    struct work *work = request_queue_get(&pool->queue, &w->queue_worker);

    if (!work) {
        return NULL;
    }
    took(w, work);
    trace_wait(w);
#ifndef Py_GIL_DISABLED
    if (handoff_from_submitter(pool)) {
        begin_batch(w, 0);
    }
#endif
    return work;
}

static void loop(WorkerObject *w)
{
    struct completion_node *end = NULL;
    struct work *work = NULL;

    for (;;) {
        bool delivered = true;

        Py_BEGIN_ALLOW_THREADS
        if (work) {
            delivered = deliver(w, end);
        }
        work = delivered ? get(w) : NULL;
        Py_END_ALLOW_THREADS
        aio_core_drop_undelivered(w->pool->core);
        if (!delivered) {
            continue;
        }
        if (!work) {
            return;
        }
        if (request_queue_begin_call(&w->pool->queue, &w->queue_worker) ==
                QUEUE_SPAWN &&
            pool_spawn_helper(w->pool) < 0) {
            PyErr_WriteUnraisable(NULL); /* no signal handler runs here */
        }
        if (!run_batch(w, work, &end)) {
            return;
        }
    }
}

PyDoc_STRVAR(run_doc, "run($self, /)\n--\n\n"
                      "Run requests until the pool needs the thread no more.\n"
                      "\n"
                      "Context: The worker's own thread; once.");

static PyObject *worker_run(WorkerObject *w, PyObject *Py_UNUSED(ignored))
{
    /* In the child of a fork a thread that is not there may have its locks. */
    if (!pool_is_forked(w->pool) && leave_starting(w, WORKER_RUNNING)) {
        worker_thread_begin(w->pool);
        loop(w);
        aio_core_leave(w->pool->core);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(lost_doc, "lost($self, /)\n--\n\n"
                       "Its thread has ended, or will, without running it.\n"
                       "\n"
                       "Context: Any thread.");

static PyObject *worker_lost(WorkerObject *w, PyObject *Py_UNUSED(ignored))
{
    if (!pool_is_forked(w->pool) && leave_starting(w, WORKER_REVOKED)) {
        pool_worker_lost(w->pool);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(broken_doc,
             "broken($self, /)\n--\n\n"
             "Its initializer has failed: the pool is broken, and it is lost.\n"
             "\n"
             "Context: The worker's own thread, instead of run().");

static PyObject *worker_broken(WorkerObject *w, PyObject *ignored)
{
    if (!pool_is_forked(w->pool)) {
        pool_break(w->pool);
    }
    return worker_lost(w, ignored);
}

static void worker_dealloc(WorkerObject *w)
{
    PyTypeObject *type = Py_TYPE(w);
    int state = atomic_load_explicit(&w->state, memory_order_relaxed);

    /* Forked: the thread, and perhaps the queue's lock, are the parent's. */
    if (!pool_is_forked(w->pool)) {
        if (state == WORKER_STARTING) {
            pool_worker_lost(w->pool); /* there is no thread of it */
        }
        if (state != WORKER_RUNNING) {
            aio_core_leave(w->pool->core);
        }
        request_queue_worker_cleanup(&w->queue_worker);
        pool_core_unref(w->pool);
    }
    PyObject_Free(w);
    Py_DECREF(type);
}

static PyMethodDef worker_methods[] = {
    {"run", (PyCFunction)worker_run, METH_NOARGS, run_doc},
    {"lost", (PyCFunction)worker_lost, METH_NOARGS, lost_doc},
    {"broken", (PyCFunction)worker_broken, METH_NOARGS, broken_doc},
    {NULL},
};

static PyType_Slot worker_slots[] = {
    {Py_tp_doc, "What one thread of a pool runs."},
    {Py_tp_dealloc, worker_dealloc},
    {Py_tp_methods, worker_methods},
    {0, NULL},
};

PyType_Spec worker_spec = {
    .name = "tpool._core.Worker",
    .basicsize = sizeof(WorkerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = worker_slots,
};
