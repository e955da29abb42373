/* SPDX-License-Identifier: MIT
 *
 * What an event loop that is built on a context needs of it: turns that end in
 * time, sockets seen in the poll phase, and another thread for the next run.
 */
#include "py/args.h"
#include "source/fds.h"
#include "context/bottom_half.h"

/* Owner.  What an event loop does with its context. */
typedef int loop_step(AioContextObject *c, int64_t timeout_ns, bool *behind);

/* Whoever else it belongs to does not turn it now: lends it to the caller. */
static int do_lent(AioContextObject *c, loop_step *step, int64_t timeout_ns,
                   bool *behind)
{
    struct ownership before;
    int ret;

    if (context_enter(c) < 0) {
        return -1;
    }
    if (c->aio.poll_depth && owner_check(&c->owner) < 0) {
        owner_release(&c->owner);
        return -1;
    }
    before = owner_seize(&c->owner);
    ret = step(c, timeout_ns, behind);
    if (context_is_run(c)) { /* or the turn has left it to nobody */
        owner_give_back(&c->owner, &before);
    }
    owner_release(&c->owner);
    return ret;
}

static PyObject *do_step(AioContextObject *c, loop_step *step,
                         int64_t timeout_ns)
{
    /* Relaxed: only this thread can have made it its own. */
    bool lent = atomic_load_explicit(&c->owner.adopted, memory_order_relaxed) &&
                !owner_is_me(&c->owner);
    bool behind;
    int ret = lent ? do_lent(c, step, timeout_ns, &behind)
                   : step(c, timeout_ns, &behind);

    return ret < 0 ? NULL : PyBool_FromLong(behind);
}

PyObject *context_poll_for(AioContextObject *c, PyObject *timeout)
{
    int64_t timeout_ns;

    if (arg_int(timeout, "timeout_ns", -1, INT64_MAX, &timeout_ns) < 0) {
        return NULL;
    }
    return do_step(c, context_poll_for_loop, timeout_ns);
}

PyObject *context_dispatch_rest_method(AioContextObject *c,
                                       PyObject *Py_UNUSED(ignored))
{
    return do_step(c, context_dispatch_rest, 0);
}

PyObject *context_post_method(AioContextObject *c, PyObject *const *args,
                              Py_ssize_t nargs)
{
    PyObject *callback;

    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError,
                        "_post() needs a callback and one argument");
        return NULL;
    }
    if (arg_callable(args[0], "callback", false, &callback) < 0 ||
        context_check_open(c) < 0) {
        return NULL;
    }
    return none_or_null(bottom_half_post(c, callback, args[1]));
}

PyObject *context_own(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    int ret;

    if (context_enter(c) < 0) {
        return NULL;
    }
    ret = context_adopt(c);
    if (ret == 0) {
        atomic_store_explicit(&c->run, true, memory_order_relaxed);
    }
    owner_release(&c->owner);
    return none_or_null(ret);
}

PyObject *context_disown(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    bool acquired = owner_is_in(&c->owner);

    atomic_store_explicit(&c->run, false, memory_order_relaxed);
    if (!owner_is_me(&c->owner)) {
        Py_RETURN_NONE;
    }
    if (!acquired) {
        owner_acquire_again(&c->owner, (struct lock_hold){.depth = 1});
    }
    if (owner_is_me(&c->owner) &&
        !c->aio.poll_depth) { /* nor lent to anybody */
        /* Release: pairs with the acquire in owner_check(). */
        atomic_store_explicit(&c->owner.adopted, false, memory_order_release);
    }
    if (!acquired) {
        owner_release(&c->owner);
    }
    Py_RETURN_NONE;
}

PyObject *context_interleave(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    if (context_enter(c) < 0) {
        return NULL;
    }
    if (!c->aio.interleaved) {
        c->aio.interleaved = true;
        fd_polls_init(&c->fd_polls, &c->event_trial, &c->aio);
        bare_notify_init(&c->bare_notify, &c->event_trial, &c->aio);
        event_trial_init(&c->event_trial, &c->aio);
    }
    owner_release(&c->owner);
    Py_RETURN_NONE;
}
