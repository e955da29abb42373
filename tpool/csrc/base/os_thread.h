/* SPDX-License-Identifier: MIT
 *
 * Threads of ours, as the system knows them.
 */
#ifndef TPOOL_BASE_OS_THREAD_H
#define TPOOL_BASE_OS_THREAD_H

#include "base/osdep.h"

#include <pthread.h>
#include <signal.h>

/*
 * That thread: from now on it does not get the signals that are sent to the process; the
 * kernel gives them to another thread of the program.  Not those that a thread brings on
 * itself (a fault, a trap, a broken pipe, a limit, a read from the terminal in the
 * background), nor those that are meant for each thread (profilers', real-time ones).
 * before: what was blocked, or NULL.
 */
void os_thread_block_signals(sigset_t *before);

/* The calling thread.  As much of the name as the system has room for. */
void os_thread_set_name(const char *name);

/*
 * The calling thread.  A sleep ends when its time is over, not up to 50 us later, when the
 * kernel has other timers to serve.  Returns the slack that it had, in ns; -1: unknown.
 */
long os_thread_be_punctual(void);

/* The calling thread.  Has that slack again; -1: nothing has changed. */
void os_thread_set_slack(long slack_ns);

/* The calling thread.  Sleeps for so long, less than a second; or until a signal comes. */
void os_thread_nap(int64_t ns);

/* Any thread.  Starts one that does not get those signals.  Returns 0 or -errno. */
int os_thread_start(pthread_t *out, void *(*run)(void *), void *arg);

#endif
