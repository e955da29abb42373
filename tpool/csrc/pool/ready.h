/* SPDX-License-Identifier: MIT
 *
 * What `await` goes through for a Request that was made done: it ends at once, without
 * a future, and in any loop.
 */
#ifndef TPOOL_POOL_READY_H
#define TPOOL_POOL_READY_H

#include "pool/request.h"

/* GIL held.  An iterator that ends with the outcome; NULL with an exception. */
PyObject *ready_new(RequestObject *r);

#endif
