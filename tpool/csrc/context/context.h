/* SPDX-License-Identifier: MIT
 *
 * AioContext: an event loop owned by the thread that polls it.
 *
 * Everything marked "Context acquired" is guarded by the context's recursive
 * lock, which its owner holds from poll() to its return and lets go of only
 * while it blocks.
 */
#ifndef TPOOL_CONTEXT_CONTEXT_H
#define TPOOL_CONTEXT_CONTEXT_H

#include "aio/context.h"
#include "queue/work.h"
#include "py/owner.h"
#include "py/signals.h"
#include "source/bare_notify.h"
#include "source/fd_polls.h"
#include "source/calls.h"
#include "source/shared_words.h"
#include "source/io_threads.h"
#include "source/kernel_io.h"

/* An io_uring, Linux AIO. */
#define KERNEL_IO_KINDS 2

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    /* Immutable after new. */
    struct module_state *state;
    uint32_t forks; /* of the module, when it was made */
    struct owner owner;
    /* Any thread. */
    atomic_bool run; /* by the event loop above, in the owner's thread */
    bool forked;     /* closed, for it is in the child of a fork */
    /* There: what had arrived in the parent, off its lists. */
    struct completion_node *inherited;
    /* Context acquired. */
    struct signal_guard signals;
    struct lock_hold hold; /* of the owner, while it blocks */
    PyThreadState *thread; /* the same, while it is without the GIL */
    struct aio_context aio;
    /* What it waits for. */
    struct calls_source calls;
    struct aio_source io_poll, fds;
    struct fd_polls fd_polls;
    struct bare_notify bare_notify;
    struct event_trial event_trial;
    struct shared_words words;
    struct kernel_io
        kernel_io[KERNEL_IO_KINDS]; /* the first that is to be had */
    struct io_threads *io_threads;  /* NULL: none was needed yet */
} AioContextObject;

/* Context acquired and not closed: 0, or -1 with an exception and released. */
int context_enter(AioContextObject *c);

/* Context acquired.  Another thread changed what the owner may be waiting for. */
void context_changed(AioContextObject *c);

/*
 * Context acquired.  0 if the caller owns it, or nobody has polled it yet: it is the
 * owner from now on; -1 with an exception.
 */
int context_adopt(AioContextObject *c);

/*
 * Any thread.  Whether an event loop above runs it: who waits in it then keeps
 * that loop from seeing the fds that are ready.
 */
static inline bool context_is_run(AioContextObject *c)
{
    return atomic_load_explicit(&c->run, memory_order_relaxed);
}

/*
 * Context acquired.  Lets go of all but the core; what others still deliver is
 * dropped.
 */
void context_teardown(AioContextObject *c);

/* Methods for the event loop above: see loop_methods.c. */
PyObject *context_poll_for(AioContextObject *c, PyObject *timeout);
PyObject *context_own(AioContextObject *c, PyObject *ignored);
PyObject *context_disown(AioContextObject *c, PyObject *ignored);
PyObject *context_interleave(AioContextObject *c, PyObject *ignored);
PyObject *context_post_method(AioContextObject *c, PyObject *const *args,
                              Py_ssize_t nargs);
PyObject *context_dispatch_rest_method(AioContextObject *c, PyObject *ignored);

/*
 * Any thread, GIL held, context open.  Hands the node of a bottom half, which
 * carries a reference, to the owner, or (NULL) a bare notify().  Drops the GIL in
 * between where the owner polls, or has so much to do that it has to catch up.
 */
void context_post(AioContextObject *c, struct completion_node *node);

/*
 * Owner.  One turn, waiting for timeout_ns at most (-1: for ever, 0: not at
 * all).  Returns 0 and whether anything made progress, or -1 with an exception.
 */
int context_poll(AioContextObject *c, int64_t timeout_ns, bool *progress);

/*
 * The same for the event loop above: what other threads have posted to it is
 * handed to it, and work that came behind that waits in the batch for
 * context_dispatch_rest(), to be called after it.  *behind: whether there is any.
 */
int context_poll_for_loop(AioContextObject *c, int64_t timeout_ns,
                          bool *behind);
int context_dispatch_rest(AioContextObject *c, int64_t unused, bool *behind);

/* Methods: the turn of a foreign loop, but for its last part, which is a poll. */
PyObject *context_prepare(AioContextObject *c, PyObject *ignored);
PyObject *context_check(AioContextObject *c, PyObject *ignored);

/* With what a function below Python returned: 0, or -1 with the exception. */
int context_raised(int ret);

/* What the turns of a context ask of Python. */
extern const struct aio_host context_host;

static inline AioContextObject *context_of(struct aio_context *c)
{
    return container_of(c, AioContextObject, aio);
}

/* Any thread: 0, or -1 with an exception. */
int context_raise_closed(AioContextObject *c);

static inline int context_check_open(AioContextObject *c)
{
    return c->aio.closed ? context_raise_closed(c) : 0;
}

/* A method: in the child of a fork, before anything else is done with it. */
PyObject *context_after_fork(AioContextObject *c, PyObject *ignored);
PyObject *context_hand_over(AioContextObject *c, PyObject *ignored);

extern PyMethodDef context_methods[];
/*
 * Context acquired; dispatches nothing.  Waits for what the kernel, and threads of its own,
 * do for it, all of which is in its batch then.  Returns 0, or -1 with an exception of a signal handler.
 */
int context_settle(AioContextObject *c);

/* Methods: see close(), _settle() and _check_idle(). */
PyObject *context_close(AioContextObject *c, PyObject *ignored);
PyObject *context_settle_method(AioContextObject *c, PyObject *ignored);
PyObject *context_check_idle(AioContextObject *c, PyObject *ignored);

/* Attributes, and the method _stats(). */
extern PyGetSetDef context_getset[];
PyObject *context_stats(AioContextObject *c, PyObject *ignored);

/* Methods: see set_fd_handler(), set_event_notifier(), _watch_fd() and
 * set_fd_poll(). */
PyObject *context_set_fd_handler(AioContextObject *c, PyObject *args,
                                 PyObject *kwargs);
PyObject *context_set_event_notifier(AioContextObject *c, PyObject *args,
                                     PyObject *kwargs);
PyObject *context_watch_fd(AioContextObject *c, PyObject *args);
PyObject *context_set_fd_poll(AioContextObject *c, PyObject *args,
                              PyObject *kwargs);

#endif
