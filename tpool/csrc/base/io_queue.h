/* SPDX-License-Identifier: MIT
 *
 * A queue of the kernel's: requests for files go in, completions come out.
 *
 * It is an io_uring, or a context of Linux AIO.  Both show a completion in the same way:
 * the kernel writes it to shared memory, and then moves a tail (release).  Who looks at
 * the tail loads it by an acquire, reads the completion, and gives its place back by the
 * head (release).  So neither side makes a system call for it; and whoever sleeps is woken
 * by an fd, the bell.  One thread at a time.
 */
#ifndef TPOOL_BASE_IO_QUEUE_H
#define TPOOL_BASE_IO_QUEUE_H

#include "base/event_notifier.h"
#include "base/file_io.h"

struct io_queue;

/* The functions below, by one kind of queue. */
struct io_queue_ops {
    const char *name;
    bool (*takes)(const struct file_io *io);
    int (*open)(struct io_queue *q, uint32_t entries);
    void (*close)(struct io_queue *q);
    void (*abandon)(struct io_queue *q);
    void (*add)(struct io_queue *q, const struct file_io *io, void *tag);
    int (*submit)(struct io_queue *q);
    void *(*take_back)(struct io_queue *q);
    void *(*take)(struct io_queue *q, int64_t *ret);
    int (*wait)(struct io_queue *q);
    bool (*cancel)(struct io_queue *q, void *tag); /* NULL: it cannot */
};

extern const struct io_queue_ops io_uring_ops, linux_aio_ops;

struct io_queue {
    /* Immutable while it is open. */
    const struct io_queue_ops *ops;
    /* Readable while there is a completion, or unheard is not 0. */
    struct event_notifier bell;
    uint32_t entries; /* in flight, at most */
    _Atomic uint32_t *head,
        *tail; /* of the completions: equal, there is none */
    /* Owner. */
    uint32_t unshown; /* were added, and the kernel has not taken them */
    int64_t unheard;  /* were taken, and the bell has yet to be read for them */
    union {
        struct {
            void *rings, *sqes, *cqes;
            size_t rings_size, sqes_size;
            _Atomic uint32_t *sq_tail, *sq_flags;
            uint32_t sq_mask, cq_mask;
            uint32_t filled; /* tail of the entries */
        } uring;
        struct {
            uintptr_t id; /* where the ring is */
            void *iocbs;  /* of those that are unshown, the oldest first */
        } aio;
    };
};

/* Not open. */
static inline struct io_queue io_queue_none(const struct io_queue_ops *ops)
{
    return (struct io_queue){.ops = ops, .bell = {-1, -1}};
}

static inline bool io_queue_is_open(const struct io_queue *q)
{
    return q->bell.rfd >= 0;
}

/* Whether it is for such a request: does it as the calls of file_io.h do, and at once. */
static inline bool io_queue_takes(const struct io_queue *q,
                                  const struct file_io *io)
{
    return q->ops->takes(io);
}

/*
 * entries: from 1; an io_uring makes it a power of two.  Returns 0 or -errno, with nothing
 * left open: -ENOSYS where there is none, or an old one, -EPERM where it is refused.
 */
static inline int io_queue_open(struct io_queue *q, uint32_t entries)
{
    return q->ops->open(q, entries);
}

/* Nothing is in flight. */
static inline void io_queue_close(struct io_queue *q)
{
    q->ops->close(q);
}

/* Child of a fork: the same, but for the mappings, whose places are others' by now. */
static inline void io_queue_abandon(struct io_queue *q)
{
    q->ops->abandon(q);
}

/*
 * One more request, known by tag.  The caller sees to it that no more than entries are in
 * flight.
 */
static inline void io_queue_add(struct io_queue *q, const struct file_io *io,
                                void *tag)
{
    q->ops->add(q, io, tag);
}

/* Hands what was added to the kernel.  Returns 0, or -errno: some is left. */
static inline int io_queue_submit(struct io_queue *q)
{
    return q->ops->submit(q);
}

/* After an error that will stay: one that the kernel has not taken, and why. */
static inline void *io_queue_take_back(struct io_queue *q)
{
    return q->ops->take_back(q);
}

/*
 * The oldest completion: its tag, and *ret as the system call's.  NULL: there is none, and
 * the bell has been read, where it is to be.
 */
static inline void *io_queue_take(struct io_queue *q, int64_t *ret)
{
    return q->ops->take(q, ret);
}

/*
 * Whether the kernel has not begun what it was given by that tag, and does not: its
 * completion is -ECANCELED.
 */
static inline bool io_queue_cancel(struct io_queue *q, void *tag)
{
    return q->ops->cancel && q->ops->cancel(q, tag);
}

/* Blocks until there may be a completion.  Returns 0 or -errno. */
static inline int io_queue_wait(struct io_queue *q)
{
    return q->ops->wait(q);
}

#endif
