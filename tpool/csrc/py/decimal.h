/* SPDX-License-Identifier: MIT
 *
 * The context of decimal, an object that lives in a context variable: a copy of the
 * variables still shares it.
 */
#ifndef TPOOL_PY_DECIMAL_H
#define TPOOL_PY_DECIMAL_H

#include "py/state.h"

/*
 * GIL held.  Where the caller has a context of decimal, variables, a copy of the
 * caller's, get a copy of it: who sets a precision there sets it nowhere else.
 * Returns 0, or -1 with an exception.
 */
int decimal_unshare(struct module_state *state, PyObject *variables);

#endif
