/* SPDX-License-Identifier: MIT
 *
 * Who may be in a context: its recursive lock, and the thread that owns it.
 */
#include "context/context.h"
#include "py/work_object.h"

#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

/* Takes the lock without touching depth.  -1: a signal handler raised. */
static int lock_take(AioContextObject *c, bool interruptible)
{
    PyLockStatus status = PY_LOCK_FAILURE;

    if (PyThread_acquire_lock(c->lock, NOWAIT_LOCK)) {
        return 0;
    }
    atomic_fetch_add_explicit(&c->lock_waiters, 1, memory_order_relaxed);
    while (status != PY_LOCK_ACQUIRED) {
        Py_BEGIN_ALLOW_THREADS
        status = PyThread_acquire_lock_timed(c->lock, -1, interruptible);
        Py_END_ALLOW_THREADS
        if (status == PY_LOCK_INTR && Py_MakePendingCalls() < 0) {
            break;
        }
    }
    atomic_fetch_sub_explicit(&c->lock_waiters, 1, memory_order_relaxed);
    return status == PY_LOCK_ACQUIRED ? 0 : -1;
}

static void lock_set_owner(AioContextObject *c, unsigned long thread,
                           struct lock_hold hold)
{
    atomic_store_explicit(&c->lock_owner, thread, memory_order_relaxed);
    c->hold = hold;
}

int context_acquire(AioContextObject *c)
{
    if (context_is_acquired(c)) {
        c->hold.depth++;
        return 0;
    }
    if (lock_take(c, true) < 0) {
        return -1;
    }
    lock_set_owner(c, PyThread_get_thread_ident(),
                   (struct lock_hold){.depth = 1});
    return 0;
}

void context_release(AioContextObject *c)
{
    assert(context_is_acquired(c));
    if (--c->hold.depth == 0) {
        lock_set_owner(c, 0, (struct lock_hold){0});
        PyThread_release_lock(c->lock);
    }
}

struct lock_hold context_release_all(AioContextObject *c)
{
    struct lock_hold hold = c->hold;

    lock_set_owner(c, 0, (struct lock_hold){0});
    PyThread_release_lock(c->lock);
    return hold;
}

void context_acquire_again(AioContextObject *c, struct lock_hold hold)
{
    lock_take(c, false); /* does not fail: no signal handler runs */
    lock_set_owner(c, PyThread_get_thread_ident(), hold);
}

int context_enter(AioContextObject *c)
{
    if (context_acquire(c) < 0) {
        return -1;
    }
    if (context_check_open(c) < 0) {
        context_release(c);
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

/* The loop above goes on in the child, and all of it is its own. */
static void hand_over_posts(AioContextObject *c)
{
    struct completion_node *node, *next;
    bool progress;

    context_absorb(c);
    for (node = c->batch_head; node; node = next) {
        struct work *w = work_of(node);

        next = node->next;
        if (w->ops->is_post) {
            Py_INCREF(work_object(w)); /* nothing is dropped */
            if (w->ops->dispatch(w, &progress) < 0) {
                PyErr_WriteUnraisable(NULL);
            }
        }
    }
}

/*
 * The one thread of the child.  What other threads held is taken from them; the
 * parent's fds are closed here, so that the child neither hears nor changes
 * what is its parent's.  Nothing is dropped: that would run code, of a child
 * that wants to do something else.
 */
PyObject *context_after_fork(AioContextObject *c, PyObject *Py_UNUSED(ignored))
{
    /* Relaxed: a child has one thread. */
    if (c->closed || c->forks == atomic_load_explicit(&c->state->forks,
                                                      memory_order_relaxed)) {
        Py_RETURN_NONE;
    }
    if (!context_is_acquired(c)) {
        PyThread_type_lock lock = PyThread_allocate_lock();

        if (!lock) {
            return PyErr_NoMemory();
        }
        c->lock = lock;
        lock_set_owner(c, 0, (struct lock_hold){0});
    }
    hand_over_posts(c);
    c->closed = c->forked = true;
    c->polls++; /* a poll() that a callback has forked in does not wait */
    signal_guard_abandon(&c->signals);
    fdmon_cleanup(&c->fdmon);
    handlers_abandon(&c->handlers);
    timers_abandon(&c->timers);
    notify_cleanup(&c->core->notify);
    completion_list_init(&c->core->list);
    c->batch_head = c->idle_head = NULL;
    Py_RETURN_NONE;
}

bool context_is_run(AioContextObject *c)
{
    return atomic_load_explicit(&c->run, memory_order_relaxed);
}

void context_changed(AioContextObject *c)
{
    if (!context_is_owner(c)) {
        notify_bare(&c->core->notify);
    }
}

/*
 * Whether signal handlers run in this thread of this interpreter.  Python's main
 * thread need not be the process's first.  Exported by every CPython; declared in
 * its internal headers since 3.13.
 */
PyAPI_FUNC(int) _PyOS_IsMainThread(void);

static int current_tid(void)
{
#ifdef __linux__
    return (int)syscall(SYS_gettid);
#else
    return 0; /* not told */
#endif
}

/* The caller's stack: found once in each context, and once in the first thread. */
static void find_stack(AioContextObject *c, int tid)
{
    struct thread_stack *first = &c->state->first_stack;

    if (tid != getpid()) {
        c->stack = thread_stack_get();
        return;
    }
    if (!thread_stack_is_mine(first)) {
        *first = thread_stack_get();
    }
    c->stack = *first;
}

void context_set_owner(AioContextObject *c)
{
    int before = atomic_load_explicit(&c->core->owner_tid,
                                      memory_order_relaxed);
    int tid = current_tid();

    atomic_store_explicit(&c->owner, PyThread_get_thread_ident(),
                          memory_order_relaxed);
    atomic_store_explicit(&c->core->owner_tid, tid, memory_order_relaxed);
    c->owner_is_main = _PyOS_IsMainThread();
    if (tid != before || !thread_stack_is_mine(&c->stack)) {
        find_stack(c, tid);
    }
}

struct ownership context_seize(AioContextObject *c)
{
    struct ownership before = {
        .owner = atomic_load_explicit(&c->owner, memory_order_relaxed),
        .owner_tid = atomic_load_explicit(&c->core->owner_tid,
                                          memory_order_relaxed),
        .owner_is_main = c->owner_is_main,
        .stack = c->stack,
        .adopted = atomic_load_explicit(&c->adopted, memory_order_relaxed),
    };

    context_set_owner(c);
    atomic_store_explicit(&c->adopted, true, memory_order_release);
    return before;
}

void context_give_back(AioContextObject *c, const struct ownership *before)
{
    atomic_store_explicit(&c->owner, before->owner, memory_order_relaxed);
    atomic_store_explicit(&c->core->owner_tid, before->owner_tid,
                          memory_order_relaxed);
    c->owner_is_main = before->owner_is_main;
    c->stack = before->stack;
    /* Release: pairs with the acquire in context_check_owner(). */
    atomic_store_explicit(&c->adopted, before->adopted, memory_order_release);
}

int context_check_owner(AioContextObject *c)
{
    if (!atomic_load_explicit(&c->adopted, memory_order_acquire) ||
        context_is_owner(c)) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "thread %lu cannot turn the AioContext: it belongs to thread "
                 "%lu, which has polled it",
                 PyThread_get_thread_ident(),
                 atomic_load_explicit(&c->owner, memory_order_relaxed));
    return -1;
}

int context_adopt(AioContextObject *c)
{
    if (!atomic_load_explicit(&c->adopted, memory_order_relaxed)) {
        int ret = 0;

        context_set_owner(c);
        if (c->owner_is_main && c->signals.pipe.rfd < 0) {
            ret = signal_guard_open(&c->signals, &c->fdmon);
        }
        if (ret < 0) {
            raise_errno(ret);
            return -1;
        }
        /* Release: pairs with the acquire in context_check_owner(). */
        atomic_store_explicit(&c->adopted, true, memory_order_release);
    }
    return context_check_owner(c);
}
