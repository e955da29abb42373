/* SPDX-License-Identifier: MIT
 *
 * How a thread waits for a future.
 */
#ifndef TPOOL_EXECUTOR_FUTURE_WAIT_H
#define TPOOL_EXECUTOR_FUTURE_WAIT_H

#include "executor/future.h"

/*
 * Any thread, GIL held.  Waits for timeout_ns (-1: for ever) until it has ended: 1, or 0,
 * or -1 with an exception, of a signal handler say.
 */
int future_wait(FutureObject *f, int64_t timeout_ns);

/*
 * The submitter of f, GIL held.  In an event loop it lets a short call end first, without
 * the GIL: the loop goes on to sleep otherwise, and to be woken takes longer.  Where the
 * last calls have taken too long for that it is not tried, or ever less often.
 */
void future_let_end(FutureObject *f);

#endif
