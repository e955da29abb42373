/* SPDX-License-Identifier: MIT
 *
 * Who may be in a context: its recursive lock, which lets go of the GIL where it has
 * to wait, and the thread that it belongs to.  It knows no context.
 */
#ifndef TPOOL_PY_OWNER_H
#define TPOOL_PY_OWNER_H

#include "py/state.h"

/* How often the thread that has the lock has taken it. */
struct lock_hold {
    unsigned depth;
    unsigned by_user; /* of these, by acquire() */
};

struct owner {
    /* Immutable after init. */
    _Atomic int
        *tid; /* the kernel's number for the thread: any thread reads it */
    struct thread_stack *first_stack; /* of the process's first thread */
    /* Any thread; see owner_acquire(). */
    PyThread_type_lock lock;
    _Atomic unsigned long holder; /* of the lock; 0: nobody */
    _Atomic uint32_t waiters;     /* for the lock */
    _Atomic unsigned long thread; /* that polls; 0: none has */
    atomic_bool adopted;          /* somebody has polled: the owner stays */
    /* Protected by the lock. */
    struct lock_hold hold; /* of who has it */
    bool is_main;
    struct thread_stack stack; /* of the owner */
};

/* Any thread, GIL held.  Returns 0 or -errno. */
int owner_init(struct owner *o, _Atomic int *tid,
               struct thread_stack *first_stack);
void owner_cleanup(struct owner *o);

/*
 * Any thread, GIL held.  Recursive.  Returns 0, or -1 with an exception where
 * a signal handler raised during the wait.
 */
int owner_acquire(struct owner *o);
void owner_release(struct owner *o);

/* Lets go of it whatever the depth, and takes it back; GIL held. */
struct lock_hold owner_release_all(struct owner *o);
void owner_acquire_again(struct owner *o, struct lock_hold hold);

/* The one thread of a forked child: who else held the lock is not there. */
int owner_after_fork(struct owner *o);

/* Any thread.  Relaxed, both: only this thread can have stored its number. */
static inline bool owner_is_me(struct owner *o)
{
    return atomic_load_explicit(&o->thread, memory_order_relaxed) ==
           PyThread_get_thread_ident();
}

static inline bool owner_is_in(struct owner *o)
{
    return atomic_load_explicit(&o->holder, memory_order_relaxed) ==
           PyThread_get_thread_ident();
}

/*
 * Any thread.  0 if the caller owns the context, or nobody has polled it yet;
 * -1 with an exception.
 */
int owner_check(struct owner *o);

/* Acquired.  The calling thread is the owner, whoever was. */
void owner_set(struct owner *o);

/* Who owned a context. */
struct ownership {
    unsigned long thread;
    int tid;
    bool is_main, adopted;
    struct thread_stack stack;
};

/* Acquired.  The same, as if it had polled; and as it was before. */
struct ownership owner_seize(struct owner *o);
void owner_give_back(struct owner *o, const struct ownership *before);

#endif
