/* SPDX-License-Identifier: MIT
 *
 * The queues of the kernel: random reads, writes and syncs of a file against what it must
 * hold, with more completions than an io_uring has room for; and what is left of a request
 * that is moved in part.
 */
#include "base/io_queue.h"
#include "stress.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SIZE    65536
#define ENTRIES 8
/* Of which an io_uring keeps twice as many as it has entries, and the kernel the rest. */
#define MANY (8 * ENTRIES)

static unsigned char shadow[SIZE];
static struct request {
    struct file_io io;
    struct iovec iov[2];
    unsigned char data[2][512];
    bool flies;
} requests[MANY];

/* No two at once touch one slice: what one reads depends on no other. */
static void fill(struct request *r, int fd, struct rng *rng, uint32_t kinds)
{
    uint32_t slice = (uint32_t)(r - requests), first = rng_below(rng, 512);
    uint32_t size = 1 + rng_below(rng, 511);
    uint32_t at = slice * (SIZE / MANY) + rng_below(rng, SIZE / MANY - 1023);

    r->io = (struct file_io){.kind = (enum file_io_kind)rng_below(rng, kinds),
                             .fd = fd,
                             .iov = r->iov,
                             .offset = at};
    if (r->io.kind == FILE_SYNC || r->io.kind == FILE_DATASYNC) {
        return;
    }
    r->iov[0] = (struct iovec){r->data[0], size};
    r->iov[1] = (struct iovec){r->data[1], first};
    r->io.n_iov = 1 + (first > 0 && rng_below(rng, 2));
    for (int i = 0; i < r->io.n_iov; i++) {
        for (size_t k = 0; k < r->iov[i].iov_len; k++) {
            r->data[i][k] = (unsigned char)rng_next(rng);
        }
    }
}

static void check(struct request *r, int64_t ret)
{
    size_t at = (size_t)r->io.offset;

    assert(r->flies && ret == (int64_t)file_io_size(&r->io));
    r->flies = false;
    for (int i = 0; i < r->io.n_iov; i++) {
        size_t n = r->iov[i].iov_len;

        if (r->io.kind == FILE_WRITE) {
            memcpy(shadow + at, r->data[i], n);
        } else {
            assert(memcmp(shadow + at, r->data[i], n) == 0);
        }
        at += n;
    }
}

/* As the monitor of a context does; and now and then as the end of one. */
static void await(struct io_queue *q, struct rng *rng, int *vain)
{
    struct pollfd p = {.fd = q->bell.rfd, .events = POLLIN};

    if (*vain == 0 && rng_below(rng, 16) == 0) {
        assert(io_queue_wait(q) == 0);
    } else {
        assert(poll(&p, 1, 10000) == 1);
    }
    /* Readable, and nothing there: for a moment at most. */
    assert(++*vain < 1000);
}

/* All is taken: the bell is silent, for a moment at the latest. */
static void check_silence(struct io_queue *q)
{
    struct pollfd p = {.fd = q->bell.rfd, .events = POLLIN};
    int64_t ret;

    WAIT_UNTIL(!io_queue_take(q, &ret) && q->unheard <= 0);
    assert(q->unheard == 0 && poll(&p, 1, 0) == 0);
}

/* Linux AIO is for what moves bytes alone. */
static uint32_t kinds_of(const struct io_queue *q)
{
    return q->ops == &io_uring_ops ? 4 : 2;
}

/* So many, no completion taken before the last: 2 * ENTRIES of them fit. */
static void round_of(struct io_queue *q, int fd, int n, struct rng *rng)
{
    int64_t ret;
    int done = 0, vain = 0;

    for (int i = 0; i < n; i++) {
        fill(&requests[i], fd, rng, kinds_of(q));
        requests[i].flies = true;
        io_queue_add(q, &requests[i].io, &requests[i]);
        if (q->unshown == q->entries || rng_below(rng, 3) == 0) {
            assert(io_queue_submit(q) == 0);
        }
    }
    assert(io_queue_submit(q) == 0);
    while (done < n) {
        struct request *r = io_queue_take(q, &ret);

        if (r) {
            check(r, ret);
            vain = 0;
            done++;
        } else {
            await(q, rng, &vain);
        }
    }
    assert(!io_queue_take(q, &ret));
    check_silence(q);
}

static void test_take_back(struct io_queue *q, int fd, struct rng *rng)
{
    int64_t ret;

    for (int i = 0; i < ENTRIES; i++) {
        fill(&requests[i], fd, rng, kinds_of(q));
        io_queue_add(q, &requests[i].io, &requests[i]);
    }
    for (int i = 0; i < ENTRIES; i++) {
        /* What is refused is the oldest, or all. */
        int which = q->ops == &linux_aio_ops ? i : ENTRIES - 1 - i;

        assert(io_queue_take_back(q) == &requests[which]);
    }
    assert(!q->unshown && io_queue_submit(q) == 0);
    assert(!io_queue_take(q, &ret));
}

/* A read of a pipe that nobody writes to, where Linux is young enough for it. */
static void test_cancel(struct io_queue *q)
{
    struct request *r = &requests[0];
    int64_t ret;
    int ends[2];

    assert(pipe(ends) == 0);
    r->iov[0] = (struct iovec){r->data[0], 1};
    r->io = (struct file_io){
        .kind = FILE_READ, .fd = ends[0], .iov = r->iov, .n_iov = 1};
    assert(!io_queue_cancel(q, r));
    io_queue_add(q, &r->io, r);
    assert(io_queue_submit(q) == 0 && !io_queue_take(q, &ret));
    if (!io_queue_cancel(q, r)) {
        assert(write(ends[1], "x", 1) == 1);
    }
    WAIT_UNTIL(io_queue_take(q, &ret) == r);
    assert(ret == 1 || (ret == -ECANCELED && !io_queue_cancel(q, r)));
    close(ends[0]);
    close(ends[1]);
}

/* Moved in parts of any size, by calls that block: all of it, once. */
static void test_advance(int fd, struct rng *rng)
{
    for (int n = 0; n < 1000; n++) {
        struct request *r = &requests[rng_below(rng, MANY)];
        unsigned char got[1024];
        size_t moved = 0, size;
        int64_t at;

        do {
            fill(r, fd, rng, 2);
        } while (r->io.kind != FILE_WRITE);
        size = file_io_size(&r->io);
        at = r->io.offset;
        memcpy(got, r->data[0], r->iov[0].iov_len);
        if (r->io.n_iov == 2) {
            memcpy(got + r->iov[0].iov_len, r->data[1], r->iov[1].iov_len);
        }
        while (moved < size) {
            size_t part = 1 + rng_below(rng, (uint32_t)(size - moved));

            assert(pwrite(fd, got + moved, part, at + (int64_t)moved) ==
                   (ssize_t)part);
            file_io_advance(&r->io, part);
            moved += part;
            assert(file_io_size(&r->io) == size - moved);
            assert(!r->io.n_iov ||
                   *(unsigned char *)r->io.iov->iov_base == got[moved]);
        }
        memcpy(shadow + at, got, size);
    }
}

static void use(const struct io_queue_ops *ops, int fd, uint64_t rounds,
                struct rng *rng)
{
    struct io_queue q = io_queue_none(ops);
    int ret = io_queue_open(&q, ENTRIES);

    if (ret < 0) {
        assert(!io_queue_is_open(&q));
        printf("%s: refused, %s; ", ops->name, strerror(-ret));
        return;
    }
    assert(q.entries == ENTRIES);
    for (uint64_t i = 0; i < rounds; i++) {
        round_of(&q, fd, 1 + (int)rng_below(rng, MANY), rng);
        test_take_back(&q, fd, rng);
    }
    if (ops == &io_uring_ops) {
        test_cancel(&q); /* Linux AIO would wait for it here */
    }
    io_queue_close(&q);
    assert(!io_queue_is_open(&q));
    io_queue_close(&q);
}

int main(int argc, char **argv)
{
    uint64_t rounds = count_arg(argc, argv, 300);
    char path[] = "/tmp/stress_io_queue.XXXXXX";
    int fd = mkstemp(path);
    struct rng rng;

    rng_init(&rng, seed_arg(argc, argv));
    assert(fd >= 0 && unlink(path) == 0 && ftruncate(fd, SIZE) == 0);
    test_advance(fd, &rng);
    use(&io_uring_ops, fd, rounds, &rng);
    use(&linux_aio_ops, fd, rounds, &rng);
    close(fd);
    printf("queues of the kernel: %llu rounds of %d requests at most\n",
           (unsigned long long)rounds, MANY);
    return 0;
}
