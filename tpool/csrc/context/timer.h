/* SPDX-License-Identifier: MIT
 *
 * Timer: calls back once the monotonic clock has passed a time.
 */
#ifndef TPOOL_CONTEXT_TIMER_H
#define TPOOL_CONTEXT_TIMER_H

#include "context/context.h"

PyObject *timer_new(AioContextObject *c, PyObject *callback);

/* Those that are set: the heap of a context has a reference to each. */
int timers_traverse(const struct timer_heap *heap, visitproc visit, void *arg);

#endif
