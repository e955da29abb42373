/* SPDX-License-Identifier: MIT
 *
 * See submit.h.
 */
#include "pool/submit.h"
#include "pool/worker.h"
#include "py/work_object.h"

/* A submitter that waits for room looks for signals this often. */
#define ROOM_WAIT_NS (20 * NS_PER_MS)

int pool_wait_a_moment(struct pool_core *pool)
{
    struct timespec ts;

    Py_BEGIN_ALLOW_THREADS
    ts = timespec_from_ns(clock_now_ns() + ROOM_WAIT_NS);
    pthread_mutex_lock(&pool->room_lock);
    pthread_cond_timedwait(&pool->room, &pool->room_lock, &ts);
    pthread_mutex_unlock(&pool->room_lock);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

/* Waits until there may be room.  Returns 0, or -1 with an exception. */
SELDOM static int wait_for_room(PoolObject *self)
{
    struct pool_core *pool = self->pool;
    bool progress;
    int ret;

    atomic_fetch_add_explicit(&pool->waiters, 1, memory_order_relaxed);
    if (self->context && owner_is_me(&self->context->owner)) {
        /* The others need the owner to go on: completions are dispatched. */
        ret = context_poll(self->context, ROOM_WAIT_NS, &progress);
    } else {
        ret = pool_wait_a_moment(pool);
    }
    atomic_fetch_sub_explicit(&pool->waiters, 1, memory_order_relaxed);
    return ret;
}

int pool_check_up(PoolObject *self)
{
    if (pool_check_here(self->pool) < 0) {
        return -1;
    }
    if (pool_down(self->pool) != POOL_UP) {
        pool_raise_down(self->pool);
        return -1;
    }
    return self->context ? context_check_open(self->context) : 0;
}

int pool_reserve(PoolObject *self, uint32_t n)
{
    struct pool_core *pool = self->pool;

    for (;;) {
        if (pool_check_up(self) < 0) {
            return -1;
        }
        if (request_queue_reserve(&pool->queue, n, pool->max_pending)) {
            return 0;
        }
        if (!pool->block) {
            PyErr_Format(pool->state->pool_full,
                         "the pool is full: max_pending=%lu requests wait for "
                         "a thread",
                         (unsigned long)pool->max_pending);
            return -1;
        }
        if (wait_for_room(self) < 0) {
            return -1;
        }
    }
}

static struct call_place *place_of(const struct work *w)
{
    return w->ops->place ? w->ops->place(w) : NULL;
}

int pool_push(struct pool_core *pool, struct work *newest, struct work *oldest,
              uint32_t n, int64_t submit_ns)
{
    struct call_place *place = place_of(newest);
    enum queue_need need;
    uint32_t left;

    aio_core_add_calls(pool->core, n, submit_ns);
    if (place) {
        call_table_submitted(&pool->core->calls, place, n, submit_ns);
    }
    need = request_queue_push(&pool->queue, newest, oldest);
    if (need == QUEUE_SEEN && pool_is_spawning(pool)) {
        need = request_queue_find_another(&pool->queue);
    }
    if (need == QUEUE_SEEN && !pool->context_ref) {
        /* An executor's threads start as those of concurrent.futures. */
        need = request_queue_fan_out(&pool->queue);
    }
    if (need != QUEUE_SPAWN || pool_spawn(pool, &left) == 0) {
        return 0;
    }
    if (left > 0 && !exception_is_fatal()) {
        PyErr_Clear(); /* counted; the workers there are do the work */
        return 0;
    }
    return -1;
}

void pool_take_back(struct pool_core *pool, struct work *w)
{
    struct call_place *place = place_of(w);

    if (request_queue_cancel(&pool->queue, w)) {
        atomic_fetch_sub_explicit(&pool->core->in_flight, 1,
                                  memory_order_relaxed);
        if (place) {
            call_place_forget(place);
        }
        atomic_fetch_add_explicit(&pool->taken_back, 1, memory_order_relaxed);
        pool_wake_owner(pool);     /* it may wait for that, to close the pool */
        Py_DECREF(work_object(w)); /* the queue's */
    }
}

int pool_submit_work(PoolObject *self, struct work *w, int64_t submit_ns)
{
    PyObject *object = work_object(w);

    if (pool_reserve(self, 1) < 0) {
        return -1;
    }
    trace_emit_at(&self->pool->state->trace, TRACE_THREAD_POOL_SUBMIT, object,
                  0, submit_ns);
    Py_INCREF(object); /* the queue's */
    w->queued = true;
    if (pool_push(self->pool, w, w, 1, submit_ns) < 0) {
        pool_take_back(self->pool, w);
        pool_fail_if_deserted(self->pool);
        return -1;
    }
    return 0;
}
