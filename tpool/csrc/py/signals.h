/* SPDX-License-Identifier: MIT
 *
 * Signal guard: the main thread must not go to sleep on a signal that has come
 * after its last look.
 */
#ifndef TPOOL_PY_SIGNALS_H
#define TPOOL_PY_SIGNALS_H

#include "base/event_notifier.h"
#include "aio/fdmon.h"
#include "py/state.h"

/*
 * 1. The main thread looks for signals, drops the GIL, and goes to sleep.
 * 2. In between a signal comes, to this thread or to another: all that CPython
 *    does is to set a flag, and nothing ends the sleep.
 *
 * So while it blocks, CPython is told to write a byte to a pipe that is waited
 * for as well, whatever thread takes the signal.  There is one such wakeup fd in
 * a process; where somebody else has set it, it is left alone, and a signal in
 * that moment waits for the next event, as with select().
 */
struct signal_guard {
    struct module_state *state; /* immutable */
    /* Owner, context acquired. */
    struct event_notifier pipe; /* CPython writes single bytes to it */
    bool set;                   /* CPython writes to it */
    int other;                  /* whose it is, where it is not ours */
};

void signal_guard_init(struct signal_guard *g, struct module_state *state);
void signal_guard_cleanup(struct signal_guard *g);

/* Main thread of a forked child: the pipe is not CPython's wakeup fd any more. */
void signal_guard_abandon(struct signal_guard *g);

/* Main thread, when the context becomes its own.  Returns 0 or -errno. */
int signal_guard_open(struct signal_guard *g, struct fdmon *m);

/*
 * Main thread, GIL held, about to block: from now on a signal ends the wait;
 * the handlers of those that came before run here.  Returns whether the guard
 * was set (1) or is by an outer poll() or impossible (0); -1: an exception.
 */
int signal_guard_enter(struct signal_guard *g);

/* GIL held, after signal_guard_enter() returned 1. */
void signal_guard_leave(struct signal_guard *g);

/*
 * Owner, whichever thread it is, when a look at the fds has reported the pipe.
 * Drains it, of what may have come after the wait too, or every look would find it
 * ready; and passes on what was meant for the wakeup fd of somebody else.
 */
void signal_guard_pass_on(struct signal_guard *g);

#endif
