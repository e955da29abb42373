/* SPDX-License-Identifier: MIT
 *
 * Ring view: a message as it lies in the ring, for as long as somebody has a memoryview of
 * it; then the reader moves on.
 */
#ifndef TPOOL_RING_RING_VIEW_H
#define TPOOL_RING_RING_VIEW_H

#include "ring/ring_object.h"

/*
 * Any thread, GIL held: the oldest message.  Returns as ring_recv(); until the memoryview is
 * released the ring gives no other (BufferError).
 */
int ring_recv_view(RingObject *self, PyObject **view, int64_t timeout_ns);

#endif
