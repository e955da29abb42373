/* SPDX-License-Identifier: MIT
 *
 * The end of a context: close(), a collection, and the child of a fork.
 */
#include "context/context.h"
#include "context/watch.h"
#include "py/work_object.h"
#include "turn/dispatch.h"

static void drop_list(struct completion_node **head)
{
    while (*head) {
        struct completion_node *node = *head;

        *head = node->next;
        work_of(node)->ops->drop(work_of(node));
    }
}

/* Whether this is the child of a fork that came after it was made. */
static bool is_of_parent(const AioContextObject *c)
{
    /* Relaxed: a child has one thread. */
    return c->forks !=
           atomic_load_explicit(&c->state->forks, memory_order_relaxed);
}

/* The child of a fork: what its parent has asked for never comes back. */
static void abandon_io(AioContextObject *c)
{
    for (int i = 0; i < KERNEL_IO_KINDS; i++) {
        kernel_io_abandon(&c->kernel_io[i]);
    }
    c->io_threads = NULL;
}

/* What the kernel was asked for has ended then. */
static void close_kernel_io(AioContextObject *c)
{
    for (int i = 0; i < KERNEL_IO_KINDS; i++) {
        kernel_io_close(&c->kernel_io[i]);
    }
}

/* Closed: nobody asks for more.  The same of what threads were asked for. */
static void end_io_threads(AioContextObject *c)
{
    struct io_threads *t;

    Py_BEGIN_CRITICAL_SECTION(c);
    t = c->io_threads;
    c->io_threads = NULL;
    Py_END_CRITICAL_SECTION();
    if (t) {
        Py_BEGIN_ALLOW_THREADS
        io_threads_close(t);
        Py_END_ALLOW_THREADS
    }
}

void context_teardown(AioContextObject *c)
{
    if (is_of_parent(c)) {
        /* A thread there was about to collect it: no weak reference led here. */
        abandon_io(c);
    } else {
        close_kernel_io(c);
    }
    fdmon_cleanup(&c->aio.fdmon); /* before what shows that it is ours */
    /* Who is no poster looks whether it is closed, and writes, in one. */
    Py_BEGIN_CRITICAL_SECTION(c);
    atomic_store_explicit(&c->aio.closed, true, memory_order_relaxed);
    aio_core_close(c->aio.core);
    Py_END_CRITICAL_SECTION();
    end_io_threads(c);
    signal_guard_cleanup(&c->signals);
    fds_cleanup(&c->aio.fds);
    timers_cleanup(&c->aio.timers);
    watches_close(c);
    drop_list(&c->aio.batch_head);
    drop_list(&c->aio.idle_head);
    c->state->posters.gone(c->state, c->aio.core);
    aio_core_detach(c->aio.core);
}

/* GIL released.  As kernel_io_wait(), for the first that has something in flight. */
static int wait_for_io(AioContextObject *c)
{
    int ret = 0;

    for (int i = 0; i < KERNEL_IO_KINDS && ret == 0; i++) {
        ret = kernel_io_wait(&c->kernel_io[i]);
    }
    if (ret == 0 && c->io_threads) {
        ret = io_threads_wait(c->io_threads);
    }
    return ret;
}

int context_settle(AioContextObject *c)
{
    int ret;

    do {
        aio_absorb(&c->aio);
        Py_BEGIN_ALLOW_THREADS
        ret = wait_for_io(c);
        Py_END_ALLOW_THREADS
        if (ret == -EINTR) {
            ret = PyErr_CheckSignals() < 0 ? -1 : 1;
        }
    } while (ret > 0);
    return PyErr_Occurred() ? -1 : 0;
}

static int polled_by_nobody(AioContextObject *c)
{
    if (c->aio.poll_depth) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot close an AioContext that is being polled");
        return -1;
    }
    return 0;
}

/* Context acquired, not closed.  Returns 0, or -1 with an exception. */
static int close_acquired(AioContextObject *c)
{
    struct ownership before;

    if (polled_by_nobody(c) < 0) {
        return -1;
    }
    before = owner_seize(&c->owner);
    if (context_settle(c) < 0 || context_raised(aio_drain(&c->aio)) < 0) {
        owner_give_back(&c->owner, &before);
        return -1;
    }
    if (!c->aio.closed) { /* by what ran meanwhile */
        context_teardown(c);
    }
    return 0;
}

PyObject *context_close(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    int ret;

    if (owner_acquire(&c->owner) < 0) {
        return NULL;
    }
    ret = c->aio.closed ? 0 : close_acquired(c);
    owner_release(&c->owner);
    return none_or_null(ret);
}

/* A new reference, or NULL: there are none. */
static struct io_threads *get_threads(AioContextObject *c)
{
    struct io_threads *t;

    Py_BEGIN_CRITICAL_SECTION(c);
    t = c->io_threads ? io_threads_ref(c->io_threads) : NULL;
    Py_END_CRITICAL_SECTION();
    return t;
}

/* Returns 0, or -1 with an exception of a signal handler. */
static int wait_for_threads(struct io_threads *t)
{
    int ret;

    do {
        Py_BEGIN_ALLOW_THREADS
        ret = io_threads_wait(t);
        Py_END_ALLOW_THREADS
    } while (ret == -EINTR && PyErr_CheckSignals() == 0);
    return PyErr_Occurred() ? -1 : 0;
}

/* The owner may be in a callback for ever: its lock is taken where it has to be. */
PyObject *context_settle_method(AioContextObject *c,
                                PyObject *Py_UNUSED(ignored))
{
    struct io_threads *t = get_threads(c);
    int ret = 0;

    if (t) {
        ret = wait_for_threads(t);
        io_threads_unref(t);
    }
    if (ret == 0 && !c->aio.closed &&
        atomic_load_explicit(&c->aio.core->kernel_calls,
                             memory_order_relaxed)) {
        if (owner_acquire(&c->owner) < 0) {
            return NULL;
        }
        ret = c->aio.closed ? 0 : context_settle(c);
        owner_release(&c->owner);
    }
    return none_or_null(ret);
}

PyObject *context_check_idle(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    int ret;

    if (owner_acquire(&c->owner) < 0) {
        return NULL;
    }
    ret = c->aio.closed ? 0 : polled_by_nobody(c);
    if (ret == 0 && c->aio.interleaved) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the AioContext is an event loop's: close the loop");
        ret = -1;
    }
    owner_release(&c->owner);
    return none_or_null(ret);
}

/*
 * The one thread of the child.  What other threads held is taken from them; the
 * parent's fds are closed here, so that the child neither hears nor changes
 * what is its parent's.  Nothing is dropped: that would run code, of a child
 * that wants to do something else.
 */
PyObject *context_after_fork(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    if (c->aio.closed || !is_of_parent(c)) {
        Py_RETURN_NONE;
    }
    if (owner_after_fork(&c->owner) < 0) {
        return PyErr_NoMemory();
    }
    abandon_io(c);
    aio_absorb(&c->aio);
    c->inherited = c->aio.batch_head;
    c->aio.closed = c->forked = true;
    c->aio.polls++; /* a poll() that a callback has forked in does not wait */
    signal_guard_abandon(&c->signals);
    fdmon_cleanup(&c->aio.fdmon);
    fds_abandon(&c->aio.fds);
    timers_abandon(&c->aio.timers);
    c->words.first = NULL;
    notify_cleanup(&c->aio.core->notify);
    completion_list_init(&c->aio.core->list);
    c->aio.batch_head = c->aio.idle_head = NULL;
    Py_RETURN_NONE;
}

/* The loop above goes on in the child, and all of it is its own. */
PyObject *context_hand_over(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    struct completion_node *node = c->inherited, *next;
    bool progress;

    c->inherited = NULL;
    for (; node; node = next) {
        struct work *w = work_of(node);

        next = node->next;
        if (w->ops->is_post) {
            Py_INCREF(work_object(w)); /* nothing is dropped */
            if (w->ops->dispatch(w, &progress) < 0) {
                PyErr_WriteUnraisable(NULL);
            }
        }
    }
    Py_RETURN_NONE;
}
