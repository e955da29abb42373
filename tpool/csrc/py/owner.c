/* SPDX-License-Identifier: MIT
 *
 * See owner.h.
 */
#include "py/owner.h"

#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

int owner_init(struct owner *o, _Atomic int *tid,
               struct thread_stack *first_stack)
{
    *o = (struct owner){.tid = tid, .first_stack = first_stack};
    o->lock = PyThread_allocate_lock();
    return o->lock ? 0 : -ENOMEM;
}

void owner_cleanup(struct owner *o)
{
    if (o->lock) {
        PyThread_free_lock(o->lock);
    }
}

/* Takes the lock without touching depth.  -1: a signal handler raised. */
static int lock_take(struct owner *o, bool interruptible)
{
    PyLockStatus status = PY_LOCK_FAILURE;

    if (PyThread_acquire_lock(o->lock, NOWAIT_LOCK)) {
        return 0;
    }
    atomic_fetch_add_explicit(&o->waiters, 1, memory_order_relaxed);
    while (status != PY_LOCK_ACQUIRED) {
        Py_BEGIN_ALLOW_THREADS
        status = PyThread_acquire_lock_timed(o->lock, -1, interruptible);
        Py_END_ALLOW_THREADS
        if (status == PY_LOCK_INTR && Py_MakePendingCalls() < 0) {
            break;
        }
    }
    atomic_fetch_sub_explicit(&o->waiters, 1, memory_order_relaxed);
    return status == PY_LOCK_ACQUIRED ? 0 : -1;
}

static void lock_set_owner(struct owner *o, unsigned long thread,
                           struct lock_hold hold)
{
    atomic_store_explicit(&o->holder, thread, memory_order_relaxed);
    o->hold = hold;
}

int owner_acquire(struct owner *o)
{
    if (owner_is_in(o)) {
        o->hold.depth++;
        return 0;
    }
    if (lock_take(o, true) < 0) {
        return -1;
    }
    lock_set_owner(o, PyThread_get_thread_ident(),
                   (struct lock_hold){.depth = 1});
    return 0;
}

void owner_release(struct owner *o)
{
    assert(owner_is_in(o));
    if (--o->hold.depth == 0) {
        owner_release_all(o);
    }
}

struct lock_hold owner_release_all(struct owner *o)
{
    struct lock_hold hold = o->hold;

    lock_set_owner(o, 0, (struct lock_hold){0});
    PyThread_release_lock(o->lock);
    return hold;
}

void owner_acquire_again(struct owner *o, struct lock_hold hold)
{
    lock_take(o, false); /* does not fail: no signal handler runs */
    lock_set_owner(o, PyThread_get_thread_ident(), hold);
}

int owner_after_fork(struct owner *o)
{
    PyThread_type_lock lock;

    if (owner_is_in(o)) {
        return 0;
    }
    lock = PyThread_allocate_lock();
    if (!lock) {
        return -ENOMEM;
    }
    o->lock = lock; /* the other may be locked for ever */
    lock_set_owner(o, 0, (struct lock_hold){0});
    return 0;
}

static int current_tid(void)
{
#ifdef __linux__
    return (int)syscall(SYS_gettid);
#else
    return 0; /* not told */
#endif
}

/* The caller's stack: found once in each context, and once in the first thread. */
static void find_stack(struct owner *o, int tid)
{
    struct thread_stack *first = o->first_stack;

    if (tid != getpid()) {
        o->stack = thread_stack_get();
        return;
    }
    if (!thread_stack_is_mine(first)) {
        *first = thread_stack_get();
    }
    o->stack = *first;
}

void owner_set(struct owner *o)
{
    int before = atomic_load_explicit(o->tid, memory_order_relaxed);
    int tid = current_tid();

    atomic_store_explicit(&o->thread, PyThread_get_thread_ident(),
                          memory_order_relaxed);
    atomic_store_explicit(o->tid, tid, memory_order_relaxed);
    o->is_main = _PyOS_IsMainThread();
    if (tid != before || !thread_stack_is_mine(&o->stack)) {
        find_stack(o, tid);
    }
}

struct ownership owner_seize(struct owner *o)
{
    struct ownership before = {
        .thread = atomic_load_explicit(&o->thread, memory_order_relaxed),
        .tid = atomic_load_explicit(o->tid, memory_order_relaxed),
        .is_main = o->is_main,
        .stack = o->stack,
        .adopted = atomic_load_explicit(&o->adopted, memory_order_relaxed),
    };

    owner_set(o);
    atomic_store_explicit(&o->adopted, true, memory_order_release);
    return before;
}

void owner_give_back(struct owner *o, const struct ownership *before)
{
    atomic_store_explicit(&o->thread, before->thread, memory_order_relaxed);
    atomic_store_explicit(o->tid, before->tid, memory_order_relaxed);
    o->is_main = before->is_main;
    o->stack = before->stack;
    /* Release: pairs with the acquire in owner_check(). */
    atomic_store_explicit(&o->adopted, before->adopted, memory_order_release);
}

int owner_check(struct owner *o)
{
    if (!atomic_load_explicit(&o->adopted, memory_order_acquire) ||
        owner_is_me(o)) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "thread %lu cannot turn the AioContext: it belongs to thread "
                 "%lu, which has polled it",
                 PyThread_get_thread_ident(),
                 atomic_load_explicit(&o->thread, memory_order_relaxed));
    return -1;
}
