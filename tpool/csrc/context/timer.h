/* SPDX-License-Identifier: MIT
 *
 * Timer: calls back once the monotonic clock has passed a time.
 */
#ifndef TPOOL_CONTEXT_TIMER_H
#define TPOOL_CONTEXT_TIMER_H

#include "aio/timer_heap.h"
#include "py/state.h"

/* A new Timer.  context is an AioContext. */
PyObject *timer_new(struct module_state *state, PyObject *context,
                    PyObject *callback);

/* Those that are set: the heap of a context has a reference to each. */
int timers_traverse(const struct timer_heap *heap, visitproc visit, void *arg);

#endif
