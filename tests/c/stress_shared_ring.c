/* SPDX-License-Identifier: MIT
 *
 * Shared ring: step by step in one thread; then in lock-step, with random delays: a thread
 * writes, two read all of it, and each sleeps where it finds nothing to do.  A wake-up that
 * is lost is a thread that sleeps past the deadline.
 */
#include "ring_ends.h"
#include "shm/fd_union.h"

#include <string.h>

#define READERS 2
#define SIZE    256

static struct ring_memory memory;
static uint64_t messages = 4000;
static _Atomic uint64_t slept;

static bool is_readable(const struct ring_end *e)
{
    return fd_union_wait(e->fd, 0) == 1;
}

static int write_one(struct ring_end *w, size_t length, uint8_t value,
                     struct ring_want *want)
{
    uint8_t data[SIZE];

    memset(data, value, sizeof(data));
    return ring_write(w, data, length, want);
}

/* The next has that length and value. */
static void expect(struct ring_end *r, size_t length, uint8_t value)
{
    struct ring_want want;
    struct ring_message m;

    assert(ring_read(r, &m, &want) == 1 && m.length == length);
    for (size_t i = 0; i < length; i++) {
        assert(m.data[i] == value);
    }
    ring_end_move(r, m.next);
}

static void test_lengths(void)
{
    struct ring_end w, r;
    struct ring_want want;
    struct ring_message m;
    void *all = new_ring(&memory, 1, SIZE);
    size_t longest = ring_message_max(&memory);

    open_end(&w, &memory, true);
    open_end(&r, &memory, false);
    for (size_t before = 0; before <= longest; before++) {
        for (size_t length = 0; length <= longest; length++) {
            assert(write_one(&w, before, 1, &want) == 1);
            expect(&r, before, 1);
            assert(write_one(&w, length, 2, &want) == 1);
            expect(&r, length, 2);
            assert(ring_read(&r, &m, &want) == 0);
        }
    }
    assert(write_one(&w, longest + 1, 0, &want) == -EMSGSIZE);
    close_end(&w);
    assert(ring_read(&r, &m, &want) == -EPIPE);
    close_end(&r);
    free(all);
}

/* Who is awake is not rung for, who sleeps is, once, and not before there is enough. */
static void test_rings(void)
{
    struct ring_end w, r;
    struct ring_want want = {0};
    struct ring_message m;
    void *all = new_ring(&memory, 1, SIZE);
    uint64_t rings;

    open_end(&w, &memory, true);
    open_end(&r, &memory, false);
    doorbell_drain(&w.bell);
    rings = w.rings;
    for (int i = 0; i < 100; i++) {
        assert(write_one(&w, 8, 1, &want) == 1);
        expect(&r, 8, 1);
    }
    assert(w.rings == rings && !is_readable(&w) && !is_readable(&r));
    assert(ring_read(&r, &m, &want) == 0 && ring_end_arm(&r, &want) == 0);
    assert(write_one(&w, 8, 1, &want) == 1 && is_readable(&r));
    assert(write_one(&w, 8, 1, &want) == 1 && w.rings == rings + 1);
    /* Armed, and passed before: no sleep, and what has rung is drained. */
    want = (struct ring_want){.place = 0, .position = r.position};
    assert(ring_end_arm(&r, &want) == 1 && !is_readable(&r));
    ring_end_disarm(&r);
    while (write_one(&w, 8, 1, &want) == 1) {
    }
    assert(write_one(&w, 56, 1, &want) == 0); /* takes four of them */
    assert(ring_end_arm(&w, &want) == 0);
    for (int i = 0; i < 3; i++) {
        expect(&r, 8, 1);
        assert(!is_readable(&w) && r.rings == 1);
    }
    expect(&r, 8, 1);
    assert(is_readable(&w) && r.rings == 2);
    assert(write_one(&w, 56, 1, &want) == 1);
    close_end(&r);
    assert(write_one(&w, 8, 1, &want) == -EPIPE);
    close_end(&w);
    free(all);
}

static void test_places(void)
{
    struct ring_end w, r[READERS], more;
    void *all = new_ring(&memory, READERS, SIZE);

    open_end(&w, &memory, true);
    assert(ring_end_open(&more, &memory, true) == -EBUSY);
    for (int i = 0; i < READERS; i++) {
        open_end(&r[i], &memory, false);
    }
    assert(ring_end_open(&more, &memory, false) == -EBUSY);
    close_end(&w);
    assert(ring_end_open(&more, &memory, true) == -EBUSY);
    for (int i = 0; i < READERS; i++) {
        assert(!ring_end_peer_is_there(&r[i], 0));
        close_end(&r[i]);
    }
    free(all);
}

/* Until it is to be looked again; a wake-up that does not come is lost. */
static void sleep_until(struct ring_end *e, const struct ring_want *want)
{
    int ret = ring_end_arm(e, want);

    assert(ret >= 0);
    if (ret == 0) {
        atomic_fetch_add_explicit(&slept, 1, memory_order_relaxed);
        assert(fd_union_wait(e->fd, STRESS_DEADLINE_NS) == 1 &&
               "a wake-up is lost");
    }
}

static void *read_all(void *arg)
{
    struct ring_end *r = arg;
    struct ring_want want;
    struct ring_message m;
    struct rng rng;
    int ret;

    rng_init(&rng, r->place);
    for (uint64_t i = 0; i < messages; i++) {
        random_delay(&rng);
        while ((ret = ring_read(r, &m, &want)) == 0) {
            sleep_until(r, &want);
        }
        assert(ret == 1 && m.length == i % 100);
        for (uint32_t k = 0; k < m.length; k++) {
            assert(m.data[k] == (uint8_t)i);
        }
        ring_end_move(r, m.next);
    }
    while ((ret = ring_read(r, &m, &want)) == 0) {
        sleep_until(r, &want);
    }
    assert(ret == -EPIPE);
    return NULL;
}

static void write_all(struct ring_end *w)
{
    struct ring_want want;
    struct rng rng;
    int ret;

    rng_init(&rng, 99);
    for (uint64_t i = 0; i < messages; i++) {
        random_delay(&rng);
        if (rng_below(&rng, 8) == 0) {
            spin(rng_below(&rng, 3000));
        }
        while ((ret = write_one(w, i % 100, (uint8_t)i, &want)) == 0) {
            sleep_until(w, &want);
        }
        assert(ret == 1);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[READERS];
    struct ring_end w, r[READERS];
    void *all;

    messages = count_arg(argc, argv, messages);
    test_lengths();
    test_rings();
    test_places();
    all = new_ring(&memory, READERS, SIZE);
    open_end(&w, &memory, true);
    for (int i = 0; i < READERS; i++) {
        open_end(&r[i], &memory, false);
        threads[i] = thread_start(read_all, &r[i]);
    }
    write_all(&w);
    close_end(&w);
    for (int i = 0; i < READERS; i++) {
        thread_join(threads[i]);
        close_end(&r[i]);
    }
    free(all);
    printf("shared_ring: %llu messages, %llu sleeps\n",
           (unsigned long long)messages, (unsigned long long)slept);
    return 0;
}
