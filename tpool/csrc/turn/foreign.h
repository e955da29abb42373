/* SPDX-License-Identifier: MIT
 *
 * A context that a foreign loop waits for: a turn in three parts.  Owner, context
 * acquired and open.
 */
#ifndef TPOOL_TURN_FOREIGN_H
#define TPOOL_TURN_FOREIGN_H

#include "turn/wait.h"

/*
 * A foreign loop waits from prepare() to check().  Between the two its thread may
 * turn the context all the same: the wait is suspended for that turn, and goes on
 * at its end, whatever was raised, and whatever prepare() and check() were called
 * in it.  So pairs nest: who was told first still waits.
 */
struct foreign_wait {
    bool waits;
    int64_t told_ns; /* until then; -1: for ever, 0: not at all */
};

/* The begin of a turn, and its end. */
struct foreign_wait aio_foreign_suspend(struct aio_context *c);
void aio_foreign_resume(struct aio_context *c, struct foreign_wait found);

/*
 * A timer was set, by the owner.  Between prepare() and check() it is in its foreign
 * loop, which has to hear of it if it means to wait for longer.
 */
void aio_set_due(struct aio_context *c, int64_t due_ns);

/*
 * Before the foreign loop waits: for how long it may, and after.  *ready: whether a
 * turn has something to do.  Return 0, -errno or AIO_RAISED.
 */
int aio_prepare(struct aio_context *c, int64_t *timeout_ns);
int aio_check(struct aio_context *c, bool *ready);

#endif
