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

/* A timer that rings when it is to. */
#define TIMER_SLACK_MIN_NS 1

/*
 * The calling thread.  By how much the kernel may put its sleeps off, to wake for several
 * things at once: 50 us, if nobody has changed it.  Returns what it was.
 */
int os_thread_set_timer_slack(int slack_ns);

/* Any thread.  Starts one that does not get those signals.  Returns 0 or -errno. */
int os_thread_start(pthread_t *out, void *(*run)(void *), void *arg);

#endif
