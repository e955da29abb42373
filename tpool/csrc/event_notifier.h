/* SPDX-License-Identifier: MIT
 *
 * EventNotifier: a file descriptor that is readable from set() until
 * test_and_clear().  An eventfd, or a pipe where there is none.
 */
#ifndef TPOOL_EVENT_NOTIFIER_H
#define TPOOL_EVENT_NOTIFIER_H

#include "osdep.h"

struct event_notifier {
    /* Immutable between init and cleanup; both are the same for an eventfd. */
    int rfd;
    int wfd;
};

/* Returns 0 or -errno, in which case nothing is left open. */
int event_notifier_init(struct event_notifier *e, bool active);

/* The same by a pipe in any case: for who writes single bytes into wfd. */
int event_notifier_init_pipe(struct event_notifier *e);

/* Owner; nobody may be inside set().  May be called twice. */
void event_notifier_cleanup(struct event_notifier *e);

/*
 * Any thread, signal handlers included.  Returns 0 or -errno.  A full counter
 * or pipe is success: it is readable, which is all that was asked for.
 */
int event_notifier_set(struct event_notifier *e);

/* One thread at a time.  Returns whether it was set. */
bool event_notifier_test_and_clear(struct event_notifier *e);

#endif
