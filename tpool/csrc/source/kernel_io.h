/* SPDX-License-Identifier: MIT
 *
 * Requests that the kernel makes, as a source: an io_uring of the context's own, or a
 * context of Linux AIO (base/io_queue.h).
 *
 * What was added goes to the kernel when it is a quarter of all that is in flight, so in
 * few calls however much one turn adds, and no device waits for the end of a turn that goes
 * on asking; the rest when the next turn begins, which is before any wait.  Each is a work
 * of its requester's, and a call in flight: source/calls.h says how long it pays to poll
 * for it.  Here is what the poll phase looks at, the tail of the completions, and how an owner that sleeps is woken: the bell
 * of the queue is readable while there are any, and is one of the fds that the context
 * waits for itself.  So there are no notifications to be turned off and on, and none
 * can be lost: the kernel shows a completion, and then wakes who waits for the fd; who
 * begins to wait is told of what is there.
 *
 * No more are given to the kernel than it has room for completions; the others wait
 * here.  Where it takes none, for the lack of memory, say, it is asked again later.  The
 * queue goes with the context, after all that is in flight has ended.
 */
#ifndef TPOOL_SOURCE_KERNEL_IO_H
#define TPOOL_SOURCE_KERNEL_IO_H

#include "aio/source.h"
#include "base/io_queue.h"
#include "queue/work.h"

/* One request; whoever embeds it keeps it, and its buffers, until it has come back. */
struct kernel_io_entry {
    struct work *work;    /* with a reference: dispatched when it has ended */
    struct kernel_io *in; /* since it was added */
    const struct file_io *io; /* what it is to do */
    bool waiting;             /* for room */
    uint8_t again;            /* how often it was given to the kernel again */
    bool cancelled;           /* it ends by -ECANCELED */
    int64_t ret;              /* what became of it: bytes or -errno */
    struct kernel_io_entry *next, **link; /* in one of the lists below */
};

/* Context acquired for all of it. */
struct kernel_io {
    struct aio_source source;
    struct io_queue queue;
    struct kernel_io_entry *flying; /* the kernel's, or with the next call */
    struct kernel_io_entry *waiting, **end; /* for room, the oldest first */
    uint32_t n_flying, n_waiting;
};

/* Not open yet; of that kind. */
void kernel_io_init(struct kernel_io *k, const struct io_queue_ops *ops);

/* Makes the queue, once.  Returns 0 or -errno. */
int kernel_io_open(struct kernel_io *k, struct aio_context *c,
                   uint32_t entries);

static inline bool kernel_io_is_open(const struct kernel_io *k)
{
    return io_queue_is_open(&k->queue);
}

/* Takes over the reference that comes with e->work. */
void kernel_io_add(struct kernel_io *k, struct kernel_io_entry *e);

/*
 * Whether it has not begun, and will not.  If it waited for room its reference is the
 * caller's from now on, and *now is set; else it comes back as all others do.
 */
bool kernel_io_cancel(struct kernel_io_entry *e, bool *now);

/*
 * Hands what was added to the kernel now: nobody turns the context before he waits.
 * Whether it took all.
 */
bool kernel_io_flush(struct kernel_io *k);

/*
 * Blocks until something that is in flight has ended, which the next reap() returns.
 * Returns 1, 0 where nothing is in flight, or -errno: nothing more will come.
 */
int kernel_io_wait(struct kernel_io *k);

/* The end: waits for what is in flight, and drops all. */
void kernel_io_close(struct kernel_io *k);

/* The child of a fork: the queue is its parent's, and what is in it never comes back. */
void kernel_io_abandon(struct kernel_io *k);

#endif
