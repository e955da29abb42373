/* SPDX-License-Identifier: MIT
 *
 * Which callable a call is of: what the times of calls are learned by.
 */
#ifndef TPOOL_POOL_CALLABLE_H
#define TPOOL_POOL_CALLABLE_H

#include "py/state.h"

/*
 * Any thread, GIL held.  The same number for all that run the same code: closures
 * of one function, its methods of any object, partial objects of it.  An address
 * that nothing keeps: never to be followed.  Not 0.
 */
uintptr_t callable_key(struct module_state *state, PyObject *fn);

#endif
