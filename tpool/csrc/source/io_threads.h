/* SPDX-License-Identifier: MIT
 *
 * Requests that threads of the context's own make: what no queue of the kernel's is for,
 * and what that would leave to threads of the kernel, which have to be woken each time.
 * These poll for the next one, as the workers of a pool do (queue/request_queue.h).
 *
 * They know nothing of the language above, and never wait for it.  So who ends the
 * context waits for them, whatever it holds: what they were asked for is done then, and
 * nothing is begun later, when an fd may be another file's.
 *
 * Each request is a work, whose run() is called without the lock of the language.  It
 * comes back by the completion list, as the calls of pools do.
 */
#ifndef TPOOL_SOURCE_IO_THREADS_H
#define TPOOL_SOURCE_IO_THREADS_H

#include "aio/context.h"
#include "base/futex.h"
#include "queue/request_queue.h"

struct io_threads {
    struct request_queue queue;
    struct aio_core *core; /* immutable */
    _Atomic uint32_t refs; /* any thread */
    /* Any thread: see io_threads_wait(). */
    _Atomic uint32_t unfinished;
    _Atomic uint32_t awaited;
    struct futex_bed bed;
    /* Any thread of them. */
    pthread_mutex_t lock;
    struct io_thread *threads; /* under the lock: started, and not joined yet */
};

/* Starts none yet.  One reference; NULL: there is no memory. */
struct io_threads *io_threads_new(struct aio_context *c);

/* Any thread, both. */
struct io_threads *io_threads_ref(struct io_threads *t);
void io_threads_unref(struct io_threads *t);

/*
 * Context acquired.  Takes over the reference that comes with w.  Returns 0, or, w being
 * the caller's still, -EBUSY where max of them wait already, -EAGAIN where no thread is to
 * be had.
 */
int io_threads_push(struct io_threads *t, struct work *w, uint32_t max);

/*
 * Any thread.  Whether it has not begun, and will not: its reference is the caller's from
 * now on.
 */
bool io_threads_cancel(struct io_threads *t, struct work *w);

/*
 * Any thread.  Blocks until all that was asked for is on the completion list.
 * Returns 1, 0 where nothing had to be waited for, or -EINTR.
 */
int io_threads_wait(struct io_threads *t);

/*
 * The end, for the context: the same, and then its threads are gone, and the reference.
 * In the child of a fork nothing is done: what a thread there held is held for ever.
 */
void io_threads_close(struct io_threads *t);

#endif
