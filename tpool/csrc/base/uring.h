/* SPDX-License-Identifier: MIT
 *
 * The two rings of an io_uring, which the kernel and one thread at a time share.
 *
 * Whoever submits fills an entry, and shows it by the tail (release: the kernel reads the
 * entry after it).  The kernel fills a completion and shows it by the other tail: who
 * looks at that loads it by an acquire, reads the completion, and gives its place back by
 * the head (release).  Set up by the default flags: a completion is shown without a
 * system call of the thread that waits for it.
 */
#ifndef TPOOL_BASE_URING_H
#define TPOOL_BASE_URING_H

#include "base/file_io.h"

struct uring {
    /* Immutable after init. */
    int fd; /* readable while there is a completion; -1: there is none */
    uint32_t entries; /* to be submitted at once, at most */
    void *rings, *sqes;
    size_t rings_size, sqes_size;
    _Atomic uint32_t *sq_tail, *sq_flags, *cq_head, *cq_tail;
    uint32_t *sq_array;
    void *cqes;
    uint32_t sq_mask, cq_mask;
    /* Owner. */
    uint32_t tail;    /* of what has been filled */
    uint32_t unshown; /* entries that the kernel has not taken */
};

/* Before init, and after cleanup. */
#define URING_NONE ((struct uring){.fd = -1})

/*
 * entries: from 1, and made a power of two.  Returns 0 or -errno: -ENOSYS where there is
 * none, or an old one, -EPERM where it is refused.
 */
int uring_init(struct uring *u, uint32_t entries);

/* Nothing is in flight.  May be called twice. */
void uring_cleanup(struct uring *u);

/* Child of a fork: the same, but for the mappings, whose places are others' by now. */
void uring_abandon(struct uring *u);

/*
 * One more request, known by tag; elsewhere: a thread of the kernel's is to make it,
 * whatever is in the cache.  The caller sees to it that no more than entries are in
 * flight.
 */
void uring_add(struct uring *u, const struct file_io *io, void *tag,
               bool elsewhere);

/* Hands what was added to the kernel.  Returns 0, or -errno: some is left. */
int uring_submit(struct uring *u);

/* After an error that will stay: the newest that the kernel has not taken, or NULL. */
void *uring_take_back(struct uring *u);

/* The oldest completion: its tag, and *ret as the system call's; NULL: there is none. */
void *uring_take(struct uring *u, int64_t *ret);

/* Blocks until there is a completion.  Returns 0 or -errno. */
int uring_wait(struct uring *u);

#endif
