/* SPDX-License-Identifier: MIT
 *
 * The queue that is a context of Linux AIO: see io_queue.h.  -DTPOOL_NO_LINUX_AIO has none.
 *
 * It is for what goes past the page cache: all else the kernel would do where it is
 * submitted.  The kernel maps its ring of completions where the context's id says.  Each
 * request names an eventfd, which counts the completions: as many are read from it as were
 * taken, or it would wake the owner for what has been seen.
 */
#include "base/io_queue.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && defined(__has_include) && !defined(TPOOL_NO_LINUX_AIO)
#if __has_include(<linux/aio_abi.h>)
#include <linux/aio_abi.h>
#endif
#endif

#if defined(SYS_io_setup) && defined(IOCB_FLAG_RESFD)

/* What the kernel has at the beginning of the mapping. */
struct aio_ring {
    uint32_t id, nr; /* nr: events, of which one is never filled */
    _Atomic uint32_t head, tail;
    uint32_t magic, compat_features, incompat_features, header_length;
    struct io_event events[];
};

#define AIO_RING_MAGIC 0xa10a10a1

static struct aio_ring *ring_of(const struct io_queue *q)
{
    return (struct aio_ring *)q->aio.id; /* NOLINT: it is an address */
}

/* A ring that this file can read. */
static bool is_known(const struct aio_ring *ring)
{
    return ring->magic == AIO_RING_MAGIC && !ring->incompat_features &&
           ring->header_length == sizeof(*ring);
}

/* A child of a fork does not have it. */
static void hide_from_children(struct aio_ring *ring)
{
    size_t size = sizeof(*ring) + ring->nr * sizeof(ring->events[0]);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    madvise(ring, (size + page - 1) / page * page, MADV_DONTFORK);
}

static void forget(struct io_queue *q, bool destroy)
{
    struct io_queue old = *q;

    /* First: a child that is forked by another thread now closes nobody else's fd. */
    *q = io_queue_none(old.ops);
    if (destroy && old.aio.id) {
        syscall(SYS_io_destroy, old.aio.id);
    }
    event_notifier_cleanup(&old.bell);
    free(old.aio.iocbs);
}

static void cleanup(struct io_queue *q)
{
    forget(q, true);
}

static void abandon(struct io_queue *q)
{
    forget(q, false);
}

static int open_all(struct io_queue *q)
{
    aio_context_t id = 0;
    int ret = event_notifier_init(&q->bell, false);

    if (ret < 0) {
        return ret;
    }
    q->aio.iocbs = calloc(q->entries, sizeof(struct iocb));
    if (!q->aio.iocbs) {
        return -ENOMEM;
    }
    if (syscall(SYS_io_setup, q->entries, &id) < 0) {
        return -errno;
    }
    q->aio.id = id;
    return is_known(ring_of(q)) ? 0 : -ENOSYS;
}

static int init(struct io_queue *q, uint32_t entries)
{
    int ret;

    q->entries = entries;
    ret = open_all(q);
    if (ret < 0) {
        cleanup(q);
        return ret;
    }
    hide_from_children(ring_of(q));
    q->head = &ring_of(q)->head;
    q->tail = &ring_of(q)->tail;
    return 0;
}

static struct iocb *iocb_at(const struct io_queue *q, uint32_t index)
{
    return (struct iocb *)q->aio.iocbs + index;
}

static void add(struct io_queue *q, const struct file_io *io, void *tag)
{
    struct iocb *iocb = iocb_at(q, q->unshown);
    bool write = io->kind == FILE_WRITE;

    assert(q->unshown < q->entries && io->n_iov);
    *iocb = (struct iocb){.aio_data = (uintptr_t)tag,
                          .aio_fildes = (uint32_t)io->fd,
                          .aio_offset = io->offset,
                          .aio_flags = IOCB_FLAG_RESFD,
                          .aio_resfd = (uint32_t)q->bell.rfd};
    if (io->n_iov == 1) {
        iocb->aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
        iocb->aio_buf = (uintptr_t)io->iov->iov_base;
        iocb->aio_nbytes = io->iov->iov_len;
    } else {
        iocb->aio_lio_opcode = write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV;
        iocb->aio_buf = (uintptr_t)io->iov;
        iocb->aio_nbytes = (uint64_t)io->n_iov;
    }
    q->unshown++;
}

/* The oldest n of those that are unshown are gone. */
static void shift(struct io_queue *q, uint32_t n)
{
    q->unshown -= n;
    memmove(iocb_at(q, 0), iocb_at(q, n), q->unshown * sizeof(struct iocb));
}

/* The kernel stops at what it refuses: with an error only where that is the first. */
static int submit(struct io_queue *q)
{
    struct iocb *batch[64];
    long n = 0;

    while (q->unshown && n >= 0) {
        uint32_t size = 0;

        while (size < 64 && size < q->unshown) {
            batch[size] = iocb_at(q, size);
            size++;
        }
        n = syscall(SYS_io_submit, q->aio.id, size, batch);
        if (n > 0) {
            shift(q, (uint32_t)n);
        }
    }
    return n < 0 ? -errno
                 : 0; /* it never takes none of them without an error */
}

static void *take_back(struct io_queue *q)
{
    void *tag = (void *)(uintptr_t)iocb_at(q, 0)->aio_data;

    assert(q->unshown);
    shift(q, 1);
    return tag;
}

/*
 * The kernel moves the tail, and counts after that.  So what is counted after this was
 * not taken, or not counted when it was: then the fd stays readable until the next time.
 */
static void hear(struct io_queue *q)
{
    uint64_t counted;

    if (q->unheard > 0 && event_notifier_is_ours(&q->bell, q->bell.rfd) &&
        read(q->bell.rfd, &counted, sizeof(counted)) > 0) {
        q->unheard -= (int64_t)counted;
    }
}

static void *take(struct io_queue *q, int64_t *ret)
{
    struct aio_ring *ring = ring_of(q);
    /* Relaxed: nobody else writes the head. */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    void *tag;

    /* Acquire: pairs with the kernel's barrier between the completion and the tail. */
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        hear(q);
        return NULL;
    }
    tag = (void *)(uintptr_t)ring->events[head].data;
    *ret = ring->events[head].res;
    q->unheard++;
    /* Release: the kernel writes over it only after it has seen the head. */
    atomic_store_explicit(&ring->head, (head + 1) % ring->nr,
                          memory_order_release);
    return tag;
}

/* The fd may still tell of what was taken: then the next look reads it. */
static int wait_for_one(struct io_queue *q)
{
    struct pollfd p = {.fd = q->bell.rfd, .events = POLLIN};

    if (!event_notifier_is_ours(&q->bell, p.fd)) {
        return -EBADF;
    }
    return poll(&p, 1, -1) < 0 ? -errno : 0;
}

const struct io_queue_ops linux_aio_ops = {
    .name = "linux-aio",
    .takes = file_io_is_direct,
    .open = init,
    .close = cleanup,
    .abandon = abandon,
    .add = add,
    .submit = submit,
    .take_back = take_back,
    .take = take,
    .wait = wait_for_one,
};

#else

static int init(struct io_queue *q, uint32_t entries)
{
    (void)q, (void)entries;
    return -ENOSYS;
}

const struct io_queue_ops linux_aio_ops = {.name = "linux-aio", .open = init};

#endif
