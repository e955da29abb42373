/* SPDX-License-Identifier: MIT
 *
 * Who is told what has become of a future: its callbacks, those of wait() and
 * as_completed(), and the log of concurrent.futures.  GIL held.
 *
 * All of it is code of others, in which the handler of a signal may raise, too.  That
 * goes on to who has ended the future, as Ctrl-C must: it is no error of a callback.
 */
#ifndef TPOOL_EXECUTOR_FUTURE_TELL_H
#define TPOOL_EXECUTOR_FUTURE_TELL_H

#include "py/state.h"

/* Logs format, about a future.  level: a method.  0, or -1 with an exception. */
int future_log(PyObject *future, const char *level, const char *format);

/* Worker: the same, critical; nobody is there to be told if that fails. */
void future_report(PyObject *future, const char *format);

/* One of those who are told has raised: the first is kept, others are written away. */
void future_keep(PyObject **first, PyObject *where);

/* Calls one back.  An Exception is logged; any other is left set: -1. */
int future_call_back(PyObject *future, PyObject *callback);

/*
 * Calls all of a list back, or of none: NULL; takes it over.  0, or -1 with an exception,
 * and those that follow are dropped.  In a worker all are called: nobody is there to be
 * told, and it lives on.
 */
int future_call_all_back(PyObject *future, PyObject *callbacks, bool in_worker);

/* Calls a method of each of a list of concurrent.futures, or of none: NULL. */
void future_tell(PyObject *future, PyObject *waiters, PyObject *method,
                 PyObject **first);

#endif
