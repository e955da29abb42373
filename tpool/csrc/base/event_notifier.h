/* SPDX-License-Identifier: MIT
 *
 * EventNotifier: a file descriptor that is readable from set() until
 * test_and_clear().  An eventfd, or a pipe where there is none.
 */
#ifndef TPOOL_BASE_EVENT_NOTIFIER_H
#define TPOOL_BASE_EVENT_NOTIFIER_H

#include "base/osdep.h"

/*
 * A program may close fds that it does not know, all from 3 on as daemons do, and
 * the system then gives their numbers to files of its own.  So nothing is written
 * to, read from or closed without a look at what the number stands for: a system
 * call, 0.2 to 0.6 us.
 * Each pipe has a number of its own there; an eventfd is only known from what is
 * none.  (A look and what follows it are two steps: who closes fds while other
 * threads use them is on his own.)
 */
struct event_notifier {
    /* Immutable between init and cleanup; both are the same for an eventfd. */
    int rfd;
    int wfd;
    uint64_t dev, ino;
};

/* Returns 0 or -errno, in which case nothing is left open. */
int event_notifier_init(struct event_notifier *e, bool active);

/* The same by a pipe in any case: for who writes single bytes into wfd. */
int event_notifier_init_pipe(struct event_notifier *e);

/*
 * An fd that somebody else makes readable, and whoever has opened it reads; cleanup closes
 * it.  Returns 0 or -errno, and then it is not taken over.
 */
int event_notifier_init_fd(struct event_notifier *e, int fd);

/* Any thread.  Whether rfd, or wfd, still stands for what init has opened. */
bool event_notifier_is_ours(const struct event_notifier *e, int fd);

/* Owner; nobody may be inside set().  May be called twice. */
void event_notifier_cleanup(struct event_notifier *e);

/*
 * Any thread, signal handlers included.  Returns 0 or -errno (-EBADF: the fd is
 * not its own any more).  A full counter
 * or pipe is success: it is readable, which is all that was asked for.
 */
int event_notifier_set(struct event_notifier *e);

/* One thread at a time, which has just been told by a wait that it is set. */
bool event_notifier_drain(struct event_notifier *e);

/* One thread at a time.  Returns whether it was set. */
bool event_notifier_test_and_clear(struct event_notifier *e);

#endif
