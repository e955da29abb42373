/* SPDX-License-Identifier: MIT
 *
 * Future: one call handed to a ThreadPoolExecutor, and what became of it.
 *
 * A concurrent.futures.Future, of which a plain submit() and result() need little:
 * neither a condition nor lists.  They are made when somebody asks for them, as wait()
 * and as_completed() do.  From then on the future ends with that condition held:
 *
 *   wait()                                  who ends it
 *   ------                                  -----------
 *   makes the condition, takes it           critical section: is there a condition?
 *   looks whether it has ended                 no: it ends, in the same section
 *   leaves a waiter, lets go                   yes: takes it, ends it, tells the waiters
 *
 * The condition is made, and its absence is seen, in critical sections of one object: it
 * either comes first, and then the end waits for it, or last, and then wait() looks
 * after the end.
 *
 * Who waits in result() leaves a node of its own stack.  Who ends the future takes all of
 * them, in the critical section, and wakes each once, without the lock of the interpreter
 * where it can: who wakes finds it free.  The future may be gone by then; a node is there
 * until it has been woken.
 */
#ifndef TPOOL_EXECUTOR_FUTURE_H
#define TPOOL_EXECUTOR_FUTURE_H

#include "pool/pool_core.h"
#include "py/work_object.h"

enum future_fate {
    FUTURE_OPEN,      /* pending, or running: see work.state */
    FUTURE_CANCELLED, /* who waits has been told, too */
    FUTURE_FINISHED,
};

struct future_waiter {
    struct completion_node link;
    _Atomic uint32_t word; /* see word_wait.h */
};

typedef struct {
    WorkObject base;
    /* Immutable after new. */
    struct pool_core *pool;
    int64_t submit_ns;
    /* The worker's, until it has run; NULL from then on. */
    PyObject *call;    /* a tuple: what is called, and its arguments */
    PyObject *kwnames; /* a tuple, or NULL */
    /* Critical section of the object. */
    PyObject *result, *exception; /* NULL: none */
    PyObject *callbacks;          /* a list, or NULL */
    PyObject *waiters;            /* of concurrent.futures: a list, or NULL */
    PyObject *condition;          /* or NULL; once made it stays */
    struct completion_node *waiting; /* struct future_waiter */
    _Atomic uint8_t
        fate; /* release: what goes with it is seen by who acquires */
} FutureObject;

static inline FutureObject *future_of(const struct work *w)
{
    return (FutureObject *)work_object(w);
}

static inline enum future_fate future_fate(FutureObject *f)
{
    return atomic_load_explicit(&f->fate, memory_order_acquire);
}

/* Any thread, GIL held.  As request_new(); type: of futures.  NULL with an exception. */
FutureObject *future_new(struct pool_core *pool, PyTypeObject *type,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames);

/* What has become of a future, and who is to be told. */
struct future_end {
    enum future_fate fate;
    PyObject *result, *exception;    /* taken over; one of them, or none */
    struct completion_node *waiting; /* out */
    PyObject *callbacks;             /* out: a list, or NULL */
    PyObject *raised; /* out: by who was told meanwhile, or NULL */
};

/*
 * Any thread, GIL held.  Ends it, unless it has ended: 1, 0, or -1 with an exception.
 * The caller is to wake those who wait, and to call back.
 */
int future_end(FutureObject *f, struct future_end *end);

/*
 * The same, but for what a worker has run: wakes and calls back too.  Takes result and
 * exception over.  What a callback raises is logged; if it is no Exception it is left
 * set (-1).
 */
int future_settle(FutureObject *f, enum future_fate fate, PyObject *result,
                  PyObject *exception);

/* Any thread, GIL held.  Whether it is still open; then w is among those to be woken. */
bool future_enlist(FutureObject *f, struct future_waiter *w);

/* The same.  Whether nobody will wake w; else somebody is about to. */
bool future_delist(FutureObject *f, struct future_waiter *w);

/* Any thread, with the GIL or without.  NULL: nobody waits. */
void future_wake(struct pool_core *pool, struct completion_node *waiting);

/*
 * Any thread, GIL held.  It was taken off the queue, whose reference this takes; the rest
 * is as future_settle().
 */
int future_cancel_taken(FutureObject *f);

/* GIL held.  The call and its arguments: nobody needs them any more. */
void future_drop_call(FutureObject *f);

#endif
