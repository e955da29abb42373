/* SPDX-License-Identifier: MIT
 *
 * Request: one call handed to a ThreadPool, and what became of it.
 */
#ifndef TPOOL_POOL_REQUEST_H
#define TPOOL_POOL_REQUEST_H

#include "py/work_object.h"

struct pool_core;

/* Those behind the first.  No list of Python's: that could be found, and emptied. */
struct callback_list {
    size_t taken, used, size;
    PyObject *callbacks[];
};

typedef struct {
    WorkObject base;
    /* Immutable after new. */
    struct pool_core *pool;
    int64_t submit_ns;
    /* Immutable after the push. */
    struct call_place *place; /* of what it calls; NULL: it was made done */
    /* The worker's until it finishes; NULL from then on.  Of a wrapped future: that,
     * and of the critical section. */
    PyObject *fn;
    PyObject *kwnames; /* tuple, or NULL */
    PyObject *context; /* contextvars; until the owner has it; NULL: none */
    /* Immutable after the push: NULL, or a future of asyncio, for which it is.
     * Where that is cancelled the call does not begin. */
    PyObject *future;
    /* Set before FINISHED. */
    PyObject *outcome;
    int64_t run_ns; /* what the call took; 0: unknown, or it did not run */
    int64_t
        took_ns; /* from submit to the end of the call; -1: it did not run */
    /* Critical section of the object. */
    PyObject *weakrefs;
    PyObject *callback;            /* the first, or NULL */
    struct callback_list *further; /* or NULL */
    PyObject *scratch; /* PY_VECTORCALL_ARGUMENTS_OFFSET: is args[-1] */
    PyObject *args[];  /* Py_SIZE of them */
} RequestObject;

/* A request, by who makes its call. */
struct request_ops {
    struct work_ops work;
    const char *backend; /* which that is; NULL: nobody of ours */
    /* Any thread, GIL held.  1 if it will not run, 0 if it does, -1: an exception. */
    int (*cancel)(RequestObject *r);
    /* The same.  Whether it does before its work is said to; NULL: it does not. */
    int (*running)(RequestObject *r);
};

static inline const struct request_ops *request_ops(const RequestObject *r)
{
    return container_of(r->base.work.ops, struct request_ops, work);
}

static inline RequestObject *request_of(const struct work *w)
{
    return (RequestObject *)work_object(w);
}

static inline enum work_state request_state(RequestObject *r)
{
    return atomic_load_explicit(&r->base.work.state, memory_order_acquire);
}

static inline bool request_is_cancelled(RequestObject *r)
{
    return atomic_load_explicit(&r->base.work.cancelled, memory_order_relaxed);
}

static inline bool request_is_done(RequestObject *r)
{
    return request_state(r) == WORK_DONE || request_is_cancelled(r);
}

/*
 * Any thread, GIL held.  One for fn, which is known by key, with room for n arguments,
 * that will be NULL; nor has it a context.  NULL with an exception.
 */
RequestObject *request_alloc(struct pool_core *pool,
                             const struct request_ops *ops, PyObject *fn,
                             uintptr_t key, Py_ssize_t n);

/*
 * Any thread, GIL held.  nargs positional arguments and then a value for each
 * name in kwnames (NULL: none).  Runs in a copy of the caller's context, or, for a
 * future, in that of the thread itself, as asyncio's calls do.
 */
RequestObject *request_new(struct pool_core *pool, PyObject *future,
                           PyObject *fn, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames);

/*
 * Any thread, GIL held.  One that is done, and was never anywhere; outcome (stolen)
 * NULL: the exception that is set.  NULL with an exception.
 */
RequestObject *request_new_done(struct pool_core *pool, PyObject *outcome);

/* Whether it is such a one: nobody waits for it, nor has a call of it done anything. */
static inline bool request_was_made_done(const RequestObject *r)
{
    return !r->place;
}

/* Worker, or who else makes the call.  The exception that is set is its outcome. */
void request_set_raised(RequestObject *r);
/* The same: the outcome is set. */
void request_set_finished(RequestObject *r);

/* Owner, off every list, its outcome set.  Who adds a callback from now on calls it. */
void request_set_done(RequestObject *r);

/* Any thread, GIL held, off the queue: the op cancel.  It will not run. */
void request_cancel_queued(struct work *w);
/* Owner, off every list: the op dispatch.  It is done, and its callbacks run. */
int request_dispatch(struct work *w, bool *progress);
/* The op place. */
struct call_place *request_place(const struct work *w);

/* Critical section.  It is in no queue any more, and will not run. */
void request_set_cancelled(RequestObject *r);

/* Any thread, GIL held.  The caller's reference goes with it to the owner. */
void request_deliver(RequestObject *r);

/* GIL held.  The call and its arguments: nobody needs them any more. */
void request_drop_call(RequestObject *r);
void request_drop_context(RequestObject *r);

/* Critical section.  Has the garbage collector know of it, if there is a reason. */
void request_track(RequestObject *r);

/* The oldest callback that has not run, or NULL. */
PyObject *request_take_callback(RequestObject *r);

/* Owner.  Returns 0, or -1 with an exception that must leave poll(). */
int request_call_callback(RequestObject *r, PyObject *callback);

#endif
