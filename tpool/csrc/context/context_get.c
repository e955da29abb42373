/* SPDX-License-Identifier: MIT
 *
 * What can be read off an AioContext: its attributes and statistics.
 */
#include "context/context.h"
#include "py/stats.h"

PyObject *context_stats(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    struct aio_stats *s = &c->aio.stats;
    uint64_t writes, dispatched = counter_get(&s->dispatched);

    if (context_check_open(c) < 0) {
        return NULL;
    }
    writes = counter_get(&c->aio.core->notify.writes);
#define ITEM(name) {#name, counter_get(&s->name)},
    return stats_dict((struct stat_item[]){
        AIO_COUNTERS(ITEM){"notifier_writes", writes},
        {"notifier_writes_saved",
         dispatched > writes ? dispatched - writes : 0},
        {"worked_ns", aio_worked_ns(&c->aio)},
        {NULL, 0},
    });
#undef ITEM
}

/*
 * Any thread.  Without acquiring the context: its owner may be in a callback
 * that waits for the caller.
 */
static struct poll_params get_params(AioContextObject *c)
{
    struct poll_params params;

    Py_BEGIN_CRITICAL_SECTION(c);
    params = c->aio.params;
    Py_END_CRITICAL_SECTION();
    return params;
}

static PyObject *get_poll_max_ns(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(get_params(c).max_ns);
}

static PyObject *get_poll_grow(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(get_params(c).grow);
}

static PyObject *get_poll_shrink(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(get_params(c).shrink);
}

static PyObject *get_poll_hybrid(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(get_params(c).hybrid);
}

static PyObject *get_poll_ns(AioContextObject *c, void *Py_UNUSED(closure))
{
    int64_t poll_ns = 0;

    if (owner_acquire(&c->owner) < 0) {
        return NULL;
    }
    for (struct aio_source *s = c->aio.sources; s; s = s->next) {
        int64_t one_ns = s->ops->window ? s->ops->window(s) : s->poll_ns;

        poll_ns = one_ns > poll_ns ? one_ns : poll_ns;
    }
    owner_release(&c->owner);
    return PyLong_FromLongLong(poll_ns);
}

static PyObject *get_poll_disable_cnt(AioContextObject *c,
                                      void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(counter_get(&c->aio.fds.blind));
}

static PyObject *get_notify_me(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(
        c->aio.closed ? 0 : notify_me(&c->aio.core->notify));
}

static PyObject *get_notified(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!c->aio.closed &&
                           notify_is_notified(&c->aio.core->notify));
}

static PyObject *get_closed(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(c->aio.closed);
}

static PyObject *get_in_flight(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(
        atomic_load_explicit(&c->aio.core->in_flight, memory_order_relaxed));
}

static PyObject *get_polled(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(c->aio.poll_depth != 0);
}

static PyObject *get_owned(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(owner_is_me(&c->owner) && !context_is_run(c));
}

static PyObject *get_owner_tid(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(
        atomic_load_explicit(&c->aio.core->owner_tid, memory_order_relaxed));
}

PyGetSetDef context_getset[] = {
    {"poll_max_ns", (getter)get_poll_max_ns, NULL,
     "Bound of the polling time, ns; 0: polling is off.", NULL},
    {"poll_grow", (getter)get_poll_grow, NULL,
     "Factor by which the polling time grows; 0: 2.", NULL},
    {"poll_shrink", (getter)get_poll_shrink, NULL,
     "Divisor by which it shrinks; 0: to nothing.", NULL},
    {"poll_hybrid", (getter)get_poll_hybrid, NULL,
     "Whether long regular calls are slept through, and their end polled for.",
     NULL},
    {"poll_ns", (getter)get_poll_ns, NULL,
     "Polling time now, ns: the longest of any event source.", NULL},
    {"poll_disable_cnt", (getter)get_poll_disable_cnt, NULL,
     "Number of fd handlers without io_poll: no polling unless it is 0.", NULL},
    {"notify_me", (getter)get_notify_me, NULL,
     "Non-zero while somebody must be told of new work: 2 for each blocking\n"
     "poll(), 1 while a foreign loop waits.",
     NULL},
    {"notified", (getter)get_notified, NULL,
     "Whether a notify() has not been accepted yet.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether close() was called.", NULL},
    {"_in_flight", (getter)get_in_flight, NULL,
     "Requests submitted and not dispatched.", NULL},
    {"_polled", (getter)get_polled, NULL,
     "Whether it is in a turn, or in a callback of one.", NULL},
    {"_owned", (getter)get_owned, NULL,
     "Whether the calling thread is the owner, and may wait in poll().", NULL},
    {"_owner_tid", (getter)get_owner_tid, NULL,
     "The owner's native thread id; 0 where there is none.", NULL},
    {NULL},
};
