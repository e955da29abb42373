/* SPDX-License-Identifier: MIT
 *
 * See uring.h.  -DTPOOL_NO_URING has none.
 */
#include "base/uring.h"

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

static int enter(struct uring *u, uint32_t submit, uint32_t wait,
                 uint32_t flags)
{
    long n = syscall(SYS_io_uring_enter, u->fd, submit, wait, flags, NULL, 0);

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

static void *at(const struct uring *u, uint32_t offset)
{
    return (char *)u->rings + offset;
}

/* Returns 0 or -errno. */
static int map_rings(struct uring *u, const struct io_uring_params *p)
{
    size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

    u->rings_size = sq > cq ? sq : cq;
    u->sqes_size = p->sq_entries * sizeof(struct io_uring_sqe);
    u->rings = map(u->fd, u->rings_size, IORING_OFF_SQ_RING);
    u->sqes = u->rings ? map(u->fd, u->sqes_size, IORING_OFF_SQES) : NULL;
    if (!u->sqes) {
        return -ENOMEM;
    }
    u->entries = p->sq_entries;
    u->sq_tail = at(u, p->sq_off.tail);
    u->sq_flags = at(u, p->sq_off.flags);
    u->sq_mask = *(uint32_t *)at(u, p->sq_off.ring_mask);
    u->sq_array = at(u, p->sq_off.array);
    u->cq_head = at(u, p->cq_off.head);
    u->cq_tail = at(u, p->cq_off.tail);
    u->cq_mask = *(uint32_t *)at(u, p->cq_off.ring_mask);
    u->cqes = at(u, p->cq_off.cqes);
    for (uint32_t i = 0; i < u->entries; i++) {
        u->sq_array[i] = i;
    }
    return 0;
}

int uring_init(struct uring *u, uint32_t entries)
{
    struct io_uring_params p = {0};
    int ret;

    *u = URING_NONE;
    u->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
    if (u->fd < 0) {
        return -errno;
    }
    ret = (p.features & FEATURES) == FEATURES ? map_rings(u, &p) : -ENOSYS;
    if (ret < 0) {
        uring_cleanup(u);
    }
    return ret;
}

void uring_cleanup(struct uring *u)
{
    if (u->sqes) {
        munmap(u->sqes, u->sqes_size);
    }
    if (u->rings) {
        munmap(u->rings, u->rings_size);
    }
    if (u->fd >= 0) {
        close(u->fd);
    }
    *u = URING_NONE;
}

void uring_abandon(struct uring *u)
{
    u->rings = u->sqes = NULL;
    uring_cleanup(u);
}

static struct io_uring_sqe *sqe_at(const struct uring *u, uint32_t index)
{
    return (struct io_uring_sqe *)u->sqes + (index & u->sq_mask);
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

void uring_add(struct uring *u, const struct file_io *io, void *tag,
               bool elsewhere)
{
    struct io_uring_sqe *sqe = sqe_at(u, u->tail);

    assert(u->unshown < u->entries);
    memset(sqe, 0, sizeof(*sqe));
    sqe->fd = io->fd;
    sqe->user_data = (uintptr_t)tag;
    sqe->flags = elsewhere ? IOSQE_ASYNC : 0;
    if (io->kind == FILE_READ || io->kind == FILE_WRITE) {
        fill_move(sqe, io);
    } else {
        sqe->opcode = IORING_OP_FSYNC;
        sqe->fsync_flags = io->kind == FILE_DATASYNC ? IORING_FSYNC_DATASYNC
                                                     : 0;
    }
    u->tail++;
    u->unshown++;
}

int uring_submit(struct uring *u)
{
    int n = 0;

    /* Release: pairs with the kernel's acquire, which then reads the entries. */
    atomic_store_explicit(u->sq_tail, u->tail, memory_order_release);
    while (u->unshown && n >= 0) {
        n = enter(u, u->unshown, 0, 0);
        if (n > 0) {
            u->unshown -= (uint32_t)n;
        } else if (n == 0) {
            n = -EAGAIN; /* none of them, and it does not say why */
        }
    }
    return n < 0 && n != -EINTR ? n : u->unshown ? -EAGAIN : 0;
}

void *uring_take_back(struct uring *u)
{
    if (!u->unshown) {
        return NULL;
    }
    u->unshown--;
    u->tail--;
    /* Relaxed: the kernel looks at it in a system call of this thread only. */
    atomic_store_explicit(u->sq_tail, u->tail, memory_order_relaxed);
    return (void *)(uintptr_t)sqe_at(u, u->tail)->user_data;
}

/* The ring was full: has the kernel put what it has kept since into it. */
static void fetch_overflow(struct uring *u)
{
    /* Relaxed: what is missed is seen the next time; the fd stays readable. */
    if (atomic_load_explicit(u->sq_flags, memory_order_relaxed) &
        IORING_SQ_CQ_OVERFLOW) {
        enter(u, 0, 0, IORING_ENTER_GETEVENTS);
    }
}

void *uring_take(struct uring *u, int64_t *ret)
{
    /* Relaxed: nobody else writes the head. */
    uint32_t head = atomic_load_explicit(u->cq_head, memory_order_relaxed);
    const struct io_uring_cqe *cqe;
    void *tag;

    /* Acquire: pairs with the kernel's release, which comes after the completion. */
    if (head == atomic_load_explicit(u->cq_tail, memory_order_acquire)) {
        fetch_overflow(u);
        if (head == atomic_load_explicit(u->cq_tail, memory_order_acquire)) {
            return NULL;
        }
    }
    cqe = (const struct io_uring_cqe *)u->cqes + (head & u->cq_mask);
    tag = (void *)(uintptr_t)cqe->user_data;
    *ret = cqe->res;
    /* Release: pairs with the kernel's acquire, which then writes over it. */
    atomic_store_explicit(u->cq_head, head + 1, memory_order_release);
    return tag;
}

int uring_wait(struct uring *u)
{
    int ret = enter(u, 0, 1, IORING_ENTER_GETEVENTS);

    return ret < 0 ? ret : 0;
}

#else /* none */

int uring_init(struct uring *u, uint32_t entries)
{
    (void)entries;
    *u = URING_NONE;
    return -ENOSYS;
}

void uring_cleanup(struct uring *u)
{
    (void)u;
}

void uring_abandon(struct uring *u)
{
    (void)u;
}

void uring_add(struct uring *u, const struct file_io *io, void *tag,
               bool elsewhere)
{
    (void)u, (void)io, (void)tag, (void)elsewhere;
}

int uring_submit(struct uring *u)
{
    (void)u;
    return 0;
}

void *uring_take_back(struct uring *u)
{
    (void)u;
    return NULL;
}

void *uring_take(struct uring *u, int64_t *ret)
{
    (void)u, (void)ret;
    return NULL;
}

int uring_wait(struct uring *u)
{
    (void)u;
    return -ENOSYS;
}

#endif
