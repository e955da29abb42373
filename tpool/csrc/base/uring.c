/* SPDX-License-Identifier: MIT
 *
 * The queue that is an io_uring: see io_queue.h.  -DTPOOL_NO_URING has none.
 *
 * It is set up by the default flags: a completion is shown without a system call of the
 * thread that waits for it.  Entries go the other way as completions do: whoever submits
 * fills one, and shows it by a tail.
 */
#include "base/io_queue.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && defined(__has_include) && !defined(TPOOL_NO_URING)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
#endif

#if defined(SYS_io_uring_setup) && defined(IORING_FEAT_RW_CUR_POS)

/* One mapping, nothing is dropped, READ and WRITE: Linux 5.6. */
#define FEATURES                                                               \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS)

static int enter(struct io_queue *q, uint32_t submit, uint32_t wait,
                 uint32_t flags)
{
    long n = syscall(SYS_io_uring_enter, q->bell.rfd, submit, wait, flags, NULL,
                     0);

    return n < 0 ? -errno : (int)n;
}

/* NULL where it cannot be mapped.  A child of a fork does not have it. */
static void *map(int fd, size_t size, off_t what)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, fd, what);

    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, size, MADV_DONTFORK);
    return p;
}

static void *at(const struct io_queue *q, uint32_t offset)
{
    return (char *)q->uring.rings + offset;
}

/* Returns 0 or -errno. */
static int map_rings(struct io_queue *q, const struct io_uring_params *p)
{
    size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    uint32_t *sq_array;

    q->uring.rings_size = sq > cq ? sq : cq;
    q->uring.sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
    q->uring.rings = map(q->bell.rfd, q->uring.rings_size, IORING_OFF_SQ_RING);
    q->uring.sqes = q->uring.rings
                        ? map(q->bell.rfd, q->uring.sqes_size, IORING_OFF_SQES)
                        : NULL;
    if (!q->uring.sqes) {
        return -ENOMEM;
    }
    q->entries = p->sq_entries;
    q->uring.sq_tail = at(q, p->sq_off.tail);
    q->uring.sq_flags = at(q, p->sq_off.flags);
    q->uring.sq_mask = *(uint32_t *)at(q, p->sq_off.ring_mask);
    q->head = at(q, p->cq_off.head);
    q->tail = at(q, p->cq_off.tail);
    q->uring.cq_mask = *(uint32_t *)at(q, p->cq_off.ring_mask);
    q->uring.cqes = at(q, p->cq_off.cqes);
    sq_array = at(q, p->sq_off.array);
    for (uint32_t i = 0; i < q->entries; i++) {
        sq_array[i] = i;
    }
    return 0;
}

static void cleanup(struct io_queue *q)
{
    struct io_queue old = *q;

    /* First: a child that is forked by another thread now closes nobody else's fd. */
    *q = io_queue_none(old.ops);
    if (old.uring.sqes) {
        munmap(old.uring.sqes, old.uring.sqes_size);
    }
    if (old.uring.rings) {
        munmap(old.uring.rings, old.uring.rings_size);
    }
    event_notifier_cleanup(&old.bell);
}

static void abandon(struct io_queue *q)
{
    q->uring.rings = q->uring.sqes = NULL;
    cleanup(q);
}

static int init(struct io_queue *q, uint32_t entries)
{
    struct io_uring_params p = {0};
    int fd = (int)syscall(SYS_io_uring_setup, entries, &p), ret;

    if (fd < 0) {
        return -errno;
    }
    ret = event_notifier_init_fd(&q->bell, fd);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    ret = (p.features & FEATURES) == FEATURES ? map_rings(q, &p) : -ENOSYS;
    if (ret < 0) {
        cleanup(q);
    }
    return ret;
}

static struct io_uring_sqe *sqe_at(const struct io_queue *q, uint32_t index)
{
    return (struct io_uring_sqe *)q->uring.sqes + (index & q->uring.sq_mask);
}

/* What moves bytes: one buffer is none of the vectors that the kernel has to read. */
static void fill_move(struct io_uring_sqe *sqe, const struct file_io *io)
{
    bool write = io->kind == FILE_WRITE;

    sqe->off = (uint64_t)io->offset;
    if (io->n_iov == 1) {
        size_t size = io->iov->iov_len;

        sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
        sqe->addr = (uintptr_t)io->iov->iov_base;
        sqe->len = size < FILE_IO_MAX ? (uint32_t)size : FILE_IO_MAX;
    } else {
        sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
        sqe->addr = (uintptr_t)io->iov;
        sqe->len = (uint32_t)io->n_iov;
    }
}

static void add(struct io_queue *q, const struct file_io *io, void *tag)
{
    struct io_uring_sqe *sqe = sqe_at(q, q->uring.filled);

    assert(q->unshown < q->entries);
    memset(sqe, 0, sizeof(*sqe));
    sqe->fd = io->fd;
    sqe->user_data = (uintptr_t)tag;
    if (io->kind == FILE_READ || io->kind == FILE_WRITE) {
        fill_move(sqe, io);
    } else {
        sqe->opcode = IORING_OP_FSYNC;
        sqe->fsync_flags = io->kind == FILE_DATASYNC ? IORING_FSYNC_DATASYNC
                                                     : 0;
    }
    q->uring.filled++;
    q->unshown++;
}

static int submit(struct io_queue *q)
{
    int n = 0;

    /* Release: pairs with the kernel's acquire, which then reads the entries. */
    atomic_store_explicit(q->uring.sq_tail, q->uring.filled,
                          memory_order_release);
    while (q->unshown && n >= 0) {
        n = enter(q, q->unshown, 0, 0);
        if (n > 0) {
            q->unshown -= (uint32_t)n;
        } else if (n == 0) {
            n = -EAGAIN; /* none of them, and it does not say why */
        }
    }
    return n < 0 && n != -EINTR ? n : q->unshown ? -EAGAIN : 0;
}

static void *take_back(struct io_queue *q)
{
    assert(q->unshown);
    q->unshown--;
    q->uring.filled--;
    /* Relaxed: the kernel looks at it in a system call of this thread only. */
    atomic_store_explicit(q->uring.sq_tail, q->uring.filled,
                          memory_order_relaxed);
    return (void *)(uintptr_t)sqe_at(q, q->uring.filled)->user_data;
}

/* The ring was full: has the kernel put what it has kept since into it. */
static void fetch_overflow(struct io_queue *q)
{
    /* Relaxed: what is missed is seen the next time; the fd stays readable. */
    if (atomic_load_explicit(q->uring.sq_flags, memory_order_relaxed) &
        IORING_SQ_CQ_OVERFLOW) {
        enter(q, 0, 0, IORING_ENTER_GETEVENTS);
    }
}

static const struct io_uring_cqe *cqe_at(const struct io_queue *q,
                                         uint32_t index)
{
    return (const struct io_uring_cqe *)q->uring.cqes +
           (index & q->uring.cq_mask);
}

static void *take(struct io_queue *q, int64_t *ret)
{
    /* Relaxed: nobody else writes the head. */
    uint32_t head = atomic_load_explicit(q->head, memory_order_relaxed);
    const struct io_uring_cqe *cqe;
    void *tag;

    /* Acquire: pairs with the kernel's release, which comes after the completion. */
    if (head == atomic_load_explicit(q->tail, memory_order_acquire)) {
        fetch_overflow(q);
        if (head == atomic_load_explicit(q->tail, memory_order_acquire)) {
            return NULL;
        }
    }
    cqe = cqe_at(q, head);
    tag = (void *)(uintptr_t)cqe->user_data;
    *ret = cqe->res;
    /* Release: pairs with the kernel's acquire, which then writes over it. */
    atomic_store_explicit(q->head, head + 1, memory_order_release);
    return tag;
}

static int wait_for_one(struct io_queue *q)
{
    int ret = enter(q, 0, 1, IORING_ENTER_GETEVENTS);

    return ret < 0 ? ret : 0;
}

#ifdef IORING_ASYNC_CANCEL_FD_FIXED
/* Whether a completion that is there says that it was cancelled. */
static bool was_cancelled(const struct io_queue *q, const void *tag)
{
    uint32_t head = atomic_load_explicit(q->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(q->tail, memory_order_acquire);

    for (; head != tail; head++) {
        const struct io_uring_cqe *cqe = cqe_at(q, head);

        if (cqe->user_data == (uintptr_t)tag) {
            return cqe->res == -ECANCELED;
        }
    }
    return false;
}
#endif

/*
 * Linux 6.0.  What runs already is not waited for.  The kernel says the same of what it
 * has cancelled and of what has ended meanwhile; the completion, which is there by then,
 * does not.
 */
static bool cancel(struct io_queue *q, void *tag)
{
#ifdef IORING_ASYNC_CANCEL_FD_FIXED
    struct io_uring_sync_cancel_reg reg = {.addr = (uintptr_t)tag, .fd = -1};

    return syscall(SYS_io_uring_register, q->bell.rfd,
                   IORING_REGISTER_SYNC_CANCEL, &reg, 1) == 0 &&
           was_cancelled(q, tag);
#else
    (void)q, (void)tag;
    return false;
#endif
}

/* In what has no places it would take no notice of the offset. */
static bool takes(const struct file_io *io)
{
    return file_io_is_plain(io->fd);
}

const struct io_queue_ops io_uring_ops = {
    .name = "io_uring",
    .takes = takes,
    .open = init,
    .close = cleanup,
    .abandon = abandon,
    .add = add,
    .submit = submit,
    .take_back = take_back,
    .take = take,
    .wait = wait_for_one,
    .cancel = cancel,
};

#else

static int init(struct io_queue *q, uint32_t entries)
{
    (void)q, (void)entries;
    return -ENOSYS;
}

const struct io_queue_ops io_uring_ops = {.name = "io_uring", .open = init};

#endif
