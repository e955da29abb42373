/* SPDX-License-Identifier: MIT
 *
 * See ring_side.h.
 */
#include "ring/ring_side.h"

/* How long a signal may have to wait for the end of a poll phase. */
#define SIGNALS_NS NS_PER_MS

int ring_side_init(struct ring_side *s, bool writes)
{
    s->writes = writes;
    s->turn = PyThread_allocate_lock();
    if (!s->turn) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void ring_side_cleanup(struct ring_side *s)
{
    if (s->open) {
        s->open = false;
        if (!s->closed) {
            ring_end_close(&s->end);
        }
        ring_end_cleanup(&s->end);
    }
    if (s->turn) {
        PyThread_free_lock(s->turn);
        s->turn = NULL;
    }
}

int ring_side_open(struct ring_side *s, const struct ring_memory *m,
                   struct word_pollers *pollers, int64_t poll_max_ns)
{
    int ret = s->closed ? -ESHUTDOWN : 0;

    if (ret == 0 && !s->open) {
        ret = ring_end_open(&s->end, m, s->writes);
        ring_waits_init(&s->waits, pollers, poll_max_ns);
        s->open = ret == 0;
    }
    return ret;
}

int ring_side_act(struct ring_side *s, ring_act *act, void *arg,
                  struct ring_want *want)
{
    ring_wait_publish(&s->waits, &s->end);
    return act(&s->end, arg, want);
}

void ring_side_close(struct ring_side *s)
{
    if (s->open && !s->closed) {
        ring_end_close(&s->end);
    }
    s->closed = true;
}

bool ring_side_let_go(struct ring_side *s)
{
    bool needed = s->waiters || s->holds;

    if (s->open && s->closed && !needed) {
        s->open = false;
        ring_end_cleanup(&s->end);
    }
    return !needed;
}

int ring_side_after_fork(struct ring_side *s)
{
    s->waiters = s->holds = 0;
    s->viewed = 0;
    if (s->open) {
        s->open = false;
        ring_end_cleanup(&s->end);
    }
    /* A thread of the parent's may have it; then it is that one's for ever. */
    if (PyThread_acquire_lock(s->turn, NOWAIT_LOCK)) {
        PyThread_release_lock(s->turn);
        return 0;
    }
    return ring_side_init(s, s->writes);
}

/* As ring_wait_sleep(), of the turn. */
static int take_turn(struct ring_side *s, const struct ring_wait *w)
{
    int64_t left_ns = time_left_ns(w->deadline_ns);
    PyLockStatus got;

    if (PyThread_acquire_lock(s->turn, NOWAIT_LOCK)) {
        return 1;
    }
    Py_BEGIN_ALLOW_THREADS
    got = PyThread_acquire_lock_timed(
        s->turn, left_ns < 0 ? -1 : (left_ns + 999) / 1000, 1);
    Py_END_ALLOW_THREADS
    return got == PY_LOCK_ACQUIRED ? 1 : got == PY_LOCK_INTR ? -EINTR : 0;
}

/* Has the turn. */
static int sleep_for_it(PyObject *object, struct ring_side *s,
                        struct ring_wait *w)
{
    int ret;

    (void)object; /* where there is a GIL */
    Py_BEGIN_CRITICAL_SECTION(object);
    ret = s->closed ? 1 : ring_end_arm(&s->end, &w->want);
    Py_END_CRITICAL_SECTION();
    if (ret) {
        return ret;
    }
    Py_BEGIN_ALLOW_THREADS
    ret = ring_wait_sleep(w, s->end.fd);
    Py_END_ALLOW_THREADS
    Py_BEGIN_CRITICAL_SECTION(object);
    s->end.sleeps++;
    if (ret == 1 && !s->closed) {
        ret = ring_end_check(&s->end, false);
        ret = ret < 0 ? ret : 1;
    }
    Py_END_CRITICAL_SECTION();
    return ret;
}

/* Has the turn.  First it polls, and then it sleeps. */
static int wait_for_it(PyObject *object, struct ring_side *s,
                       struct ring_wait *w)
{
    int64_t most_ns = _PyOS_IsMainThread() ? SIGNALS_NS : -1;
    bool hit = false;
    int ret = 1;

    if (!w->begun) {
        Py_BEGIN_ALLOW_THREADS
        hit = ring_wait_poll(&s->waits, &s->end, w, most_ns);
        Py_END_ALLOW_THREADS
    } else {
        ret = sleep_for_it(object, s, w);
        hit = ret == 1 && ring_end_has(&s->end, &w->want);
    }
    if (hit || ret == 0) {
        ring_wait_learn(&s->waits, &s->end, w, hit);
    }
    return ret;
}

int ring_side_wait(PyObject *object, struct ring_side *s, struct ring_wait *w)
{
    int ret = take_turn(s, w);

    if (ret == 1) {
        ret = wait_for_it(object, s, w);
        PyThread_release_lock(s->turn);
    }
    return ret == -EINTR ? 0 : ret;
}
