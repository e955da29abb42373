/* SPDX-License-Identifier: MIT
 *
 * io_uring: random reads, writes and syncs of a file against what it must hold, with more
 * completions than the ring has room for; and what is left of one that is moved in part.
 */
#include "base/uring.h"
#include "stress.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SIZE    65536
#define ENTRIES 8
/* Of which the ring keeps twice as many as it has entries, and the kernel the rest. */
#define MANY (8 * ENTRIES)

static unsigned char shadow[SIZE];
static struct request {
    struct file_io io;
    struct iovec iov[2];
    unsigned char data[2][512];
    bool flies;
} requests[MANY];

/* No two at once touch one slice: what one reads depends on no other. */
static void fill(struct request *r, int fd, struct rng *rng)
{
    uint32_t slice = (uint32_t)(r - requests), first = rng_below(rng, 512);
    uint32_t size = 1 + rng_below(rng, 511);
    uint32_t at = slice * (SIZE / MANY) + rng_below(rng, SIZE / MANY - 1023);

    r->io = (struct file_io){.kind = (enum file_io_kind)rng_below(rng, 4),
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
static void await(struct uring *u, struct rng *rng, int *vain)
{
    struct pollfd p = {.fd = u->fd, .events = POLLIN};

    if (*vain == 0 && rng_below(rng, 16) == 0) {
        assert(uring_wait(u) == 0);
    } else {
        assert(poll(&p, 1, 10000) == 1);
    }
    /* Readable, and nothing there: for a moment at most. */
    assert(++*vain < 1000);
}

/* So many, no completion taken before the last: 2 * ENTRIES of them fit. */
static void round_of(struct uring *u, int fd, int n, struct rng *rng)
{
    int64_t ret;
    int done = 0, vain = 0;

    for (int i = 0; i < n; i++) {
        fill(&requests[i], fd, rng);
        requests[i].flies = true;
        uring_add(u, &requests[i].io, &requests[i], rng_below(rng, 4) == 0);
        if (u->unshown == u->entries || rng_below(rng, 3) == 0) {
            assert(uring_submit(u) == 0);
        }
    }
    assert(uring_submit(u) == 0);
    while (done < n) {
        struct request *r = uring_take(u, &ret);

        if (r) {
            check(r, ret);
            vain = 0;
            done++;
        } else {
            await(u, rng, &vain);
        }
    }
    assert(!uring_take(u, &ret));
}

static void test_take_back(struct uring *u, int fd, struct rng *rng)
{
    int64_t ret;

    for (int i = 0; i < ENTRIES; i++) {
        fill(&requests[i], fd, rng);
        uring_add(u, &requests[i].io, &requests[i], false);
    }
    for (int i = ENTRIES - 1; i >= 0; i--) {
        assert(uring_take_back(u) == &requests[i]);
    }
    assert(!uring_take_back(u) && uring_submit(u) == 0);
    assert(!uring_take(u, &ret));
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
            fill(r, fd, rng);
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

int main(int argc, char **argv)
{
    uint64_t rounds = count_arg(argc, argv, 300);
    char path[] = "/tmp/stress_uring.XXXXXX";
    int fd = mkstemp(path), ret;
    struct uring u = URING_NONE;
    struct rng rng;

    rng_init(&rng, seed_arg(argc, argv));
    assert(fd >= 0 && unlink(path) == 0 && ftruncate(fd, SIZE) == 0);
    test_advance(fd, &rng);
    ret = uring_init(&u, ENTRIES);
    if (ret < 0) {
        assert(u.fd < 0);
        printf("uring: refused, %s\n", strerror(-ret));
        return 0;
    }
    assert(u.entries == ENTRIES);
    for (uint64_t i = 0; i < rounds; i++) {
        round_of(&u, fd, 1 + (int)rng_below(&rng, MANY), &rng);
        test_take_back(&u, fd, &rng);
    }
    uring_cleanup(&u);
    uring_cleanup(&u);
    close(fd);
    printf("uring: %llu rounds of %d requests at most\n",
           (unsigned long long)rounds, MANY);
    return 0;
}
