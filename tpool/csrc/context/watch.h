/* SPDX-License-Identifier: MIT
 *
 * Watch: a word in a buffer that other processes share, and what is called when it changes.
 */
#ifndef TPOOL_CONTEXT_WATCH_H
#define TPOOL_CONTEXT_WATCH_H

#include "context/context.h"

/* A method: see watch(). */
PyObject *context_watch(AioContextObject *c, PyObject *args, PyObject *kwargs);

/* Those that are open: a context has a reference to each. */
int watches_traverse(AioContextObject *c, visitproc visit, void *arg);

/* Context acquired.  Closes them all. */
void watches_close(AioContextObject *c);

#endif
