/* SPDX-License-Identifier: MIT
 *
 * See context.h: who may be in a context, and what others tell it.
 */
#include "context/context.h"
#include "py/post.h"
#include "turn/turn.h"
#include "turn/foreign.h"

/* Polls inside each other where nobody knows how much stack there is. */
#define POLL_DEPTH_MAX 200

void context_post(AioContextObject *c, struct completion_node *node)
{
    struct aio_core *core = c->aio.core;
    bool is_flood = node && aio_count_post(core);

    if (owner_is_me(&c->owner)) {
        post(core, node);
        return;
    }
    /* Without the GIL another thread may close the context, and let go of it. */
    aio_core_ref(core);
    aio_core_enter(core);
    post_to_owner(core, node);
    if (is_flood) {
        Py_BEGIN_ALLOW_THREADS
        aio_wait_for_owner(core);
        Py_END_ALLOW_THREADS
    }
    aio_core_leave(core);
    aio_core_drop_undelivered(core);
    aio_core_unref(core);
}

int context_enter(AioContextObject *c)
{
    if (owner_acquire(&c->owner) < 0) {
        return -1;
    }
    if (context_check_open(c) < 0) {
        owner_release(&c->owner);
        return -1;
    }
    return 0;
}

int context_raise_closed(AioContextObject *c)
{
    PyErr_SetString(PyExc_RuntimeError,
                    c->forked ? "the AioContext belongs to the process that "
                                "was forked, not to its child"
                              : "the AioContext is closed");
    return -1;
}

void context_changed(AioContextObject *c)
{
    if (!owner_is_me(&c->owner)) {
        notify_bare(&c->aio.core->notify);
    }
}

int context_adopt(AioContextObject *c)
{
    if (!atomic_load_explicit(&c->owner.adopted, memory_order_relaxed)) {
        int ret = 0;

        owner_set(&c->owner);
        if (c->owner.is_main && c->signals.pipe.rfd < 0) {
            ret = signal_guard_open(&c->signals, &c->aio.fdmon);
        }
        if (ret < 0) {
            raise_errno(ret);
            return -1;
        }
        /* Release: pairs with the acquire in owner_check(). */
        atomic_store_explicit(&c->owner.adopted, true, memory_order_release);
    }
    return owner_check(&c->owner);
}

/* Who waits for the context gets it between two turns. */
static void yield_to_waiters(AioContextObject *c)
{
    for (int i = 0; i < 100 && atomic_load_explicit(&c->owner.waiters,
                                                    memory_order_relaxed);
         i++) {
        struct timespec ts = {.tv_nsec = 50000};

        Py_BEGIN_ALLOW_THREADS
        nanosleep(&ts, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* Callbacks that wait have turned it inside of each other. */
static int check_stack(AioContextObject *c)
{
    if (thread_stack_is_mine(&c->owner.stack)
            ? thread_stack_is_short(&c->owner.stack)
            : c->aio.poll_depth >= POLL_DEPTH_MAX) {
        PyErr_Format(PyExc_RecursionError,
                     "no stack is left for poll() inside of %d others",
                     c->aio.poll_depth);
        return -1;
    }
    return 0;
}

/* The context is ours: no other thread is in it, and this one may turn it. */
static int begin(AioContextObject *c)
{
    bool nested = owner_is_in(&c->owner);

    if (!nested) {
        yield_to_waiters(c);
    }
    if (context_check_open(c) < 0 || owner_check(&c->owner) < 0 ||
        context_enter(c) < 0) {
        return -1;
    }
    if (context_adopt(c) < 0 || check_stack(c) < 0) {
        owner_release(&c->owner);
        return -1;
    }
    c->aio.poll_depth++;
    c->aio.polls++;
    return 0;
}

static void end(AioContextObject *c)
{
    if (--c->aio.poll_depth == 0 && c->aio.interleaved && !context_is_run(c)) {
        /* Polled by hand: the event loop above may run in another thread.
         * Release: pairs with the acquire in owner_check(). */
        atomic_store_explicit(&c->owner.adopted, false, memory_order_release);
    }
    owner_release(&c->owner);
}

int context_raised(int ret)
{
    if (ret >= 0 || ret == AIO_RAISED) {
        return ret < 0 ? -1 : 0;
    }
    if (ret == -ENOMEM) {
        PyErr_NoMemory();
    } else {
        raise_errno(ret);
    }
    return -1;
}

static int turn(AioContextObject *c, int64_t timeout_ns,
                enum aio_dispatcher who, bool *progress)
{
    int ret;

    *progress = false;
    if (begin(c) < 0) {
        return -1;
    }
    ret = context_raised(aio_turn(&c->aio, timeout_ns, who, progress));
    if (ret == 0) {
        ret = context_check_open(c); /* a callback has forked: the child */
    }
    end(c);
    return ret;
}

int context_poll(AioContextObject *c, int64_t timeout_ns, bool *progress)
{
    return turn(c, timeout_ns, AIO_TURN, progress);
}

int context_poll_for_loop(AioContextObject *c, int64_t timeout_ns, bool *behind)
{
    bool progress;
    int ret = turn(c, timeout_ns, AIO_SELECT, &progress);

    /* Said again until it is done: an exception may come before it is heard. */
    *behind = c->aio.behind;
    return ret;
}

int context_dispatch_rest(AioContextObject *c, int64_t Py_UNUSED(timeout_ns),
                          bool *behind)
{
    bool progress;
    int ret;

    if (begin(c) < 0) {
        return -1;
    }
    c->aio.behind = false;
    ret = context_raised(aio_dispatch_work(&c->aio, AIO_REST, &progress));
    *behind = c->aio.behind;
    end(c);
    return ret;
}

PyObject *context_prepare(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    int64_t timeout_ns;
    int ret;

    if (begin(c) < 0) {
        return NULL;
    }
    ret = context_raised(aio_prepare(&c->aio, &timeout_ns));
    end(c);
    return ret < 0 ? NULL : PyLong_FromLongLong(timeout_ns);
}

PyObject *context_check(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    bool ready;
    int ret;

    if (begin(c) < 0) {
        return NULL;
    }
    ret = context_raised(aio_check(&c->aio, &ready));
    end(c);
    return ret < 0 ? NULL : PyBool_FromLong(ready);
}
