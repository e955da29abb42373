/* SPDX-License-Identifier: MIT
 *
 * Hostile ring: one side does what it should, and all that the other may write, and more, is
 * garbage: positions, lengths, owners, doorbells.  It must end in an error or a message that
 * lies in the ring; AddressSanitizer sees who touches anything beside it.
 */
#include "ring_ends.h"

#include <string.h>

#define SIZE 256

static struct ring_memory memory;
static uint8_t *all;
static size_t length;
static uint64_t rounds = 3000;
static uint64_t read_, garbage, written;

static uint64_t strange(struct rng *r)
{
    static const uint64_t some[] = {0,          1,          8,
                                    SIZE,       SIZE - 8,   SIZE + 8,
                                    UINT32_MAX, UINT64_MAX, UINT64_MAX - 7,
                                    1ull << 63, 1ull << 31, SIZE / 2 - 8};
    uint64_t value = some[rng_below(r, sizeof(some) / sizeof(*some))];

    return rng_below(r, 4) ? value : rng_next(r) & ~7u;
}

/* As the other side, or anybody, may do at any moment. */
static void scribble(struct rng *r, uint32_t place)
{
    struct ring_place *p = &memory.places[place];

    switch (rng_below(r, 6)) {
    case 0:
        atomic_store_explicit(&p->position, strange(r), memory_order_release);
        break;
    case 1:
        atomic_store_explicit(&p->wake_at, strange(r), memory_order_relaxed);
        break;
    case 2:
        atomic_store_explicit(&p->owner, strange(r), memory_order_relaxed);
        break;
    case 3:
        atomic_store_explicit(&p->doorbell, (uint32_t)strange(r),
                              memory_order_relaxed);
        break;
    default: /* lengths, where they may be */
        atomic_store_explicit(
            (_Atomic uint32_t *)(void *)(memory.data +
                                         8 * rng_below(r, SIZE / 8)),
            (uint32_t)strange(r), memory_order_relaxed);
    }
}

/* Near what is right: a position that lets the reader in, and lengths that may fit. */
static void scribble_well(struct rng *r, uint64_t position)
{
    memset(memory.data, 0, SIZE);
    for (int i = 0; i < 4; i++) {
        scribble(r, 0);
    }
    atomic_store_explicit(&memory.places[0].position,
                          position + 8 * rng_below(r, SIZE / 8 + 2),
                          memory_order_release);
}

/* It lies in the ring, and in what the writer is said to have written. */
static void touch(const struct ring_end *e, const struct ring_message *m)
{
    uint8_t copy[SIZE];

    assert(e->limit - e->position <= SIZE);
    assert(m->next - e->position <= e->limit - e->position);
    assert(m->length <= sizeof(copy));
    memcpy(copy, m->data, m->length);
    assert(m->data >= memory.data && m->data + m->length <= memory.data + SIZE);
}

/* The reader's life, until there is garbage, or the writer seems to have gone. */
static void read_garbage(struct rng *r)
{
    struct ring_end e;
    struct ring_message m;
    struct ring_want want;
    int ret = 0;

    open_end(&e, &memory, false);
    for (int i = 0; i < 20 && ret >= 0; i++) {
        scribble_well(r, e.position);
        while ((ret = ring_read(&e, &m, &want)) == 1) {
            touch(&e, &m);
            read_++;
            ring_end_move(&e, m.next);
        }
        if (ret == 0 && (ret = ring_end_arm(&e, &want)) == 0) {
            ret = ring_end_check(&e, false);
        }
    }
    garbage += ret == -EBADMSG;
    if (e.error) { /* and from then on */
        assert(ring_read(&e, &m, &want) == e.error);
    }
    close_end(&e);
}

static void write_beside_garbage(struct rng *r)
{
    struct ring_end e;
    struct ring_want want;
    uint8_t data[SIZE] = {0};
    int ret = 0;

    open_end(&e, &memory, true);
    for (int i = 0; i < 50 && ret >= 0; i++) {
        scribble(r, 1);
        if (rng_below(r, 2)) {
            atomic_store_explicit(&memory.places[1].position, e.position,
                                  memory_order_release);
        }
        ret = ring_write(&e, data, rng_below(r, SIZE / 2 - 7), &want);
        written += ret == 1;
        if (ret == 0 && (ret = ring_end_arm(&e, &want)) == 0) {
            ret = ring_end_check(&e, false);
        }
    }
    garbage += ret == -EBADMSG;
    close_end(&e);
}

/* What was read is what was written, or less. */
static void test_reader_ahead(void)
{
    struct ring_end e;
    struct ring_want want;
    uint8_t data[8] = {0};
    int ret;

    assert(ring_memory_make(all, length, 1) == 0);
    open_end(&e, &memory, true);
    atomic_store_explicit(&memory.places[1].position, 8, memory_order_release);
    while ((ret = ring_write(&e, data, sizeof(data), &want)) == 1) {
        written++;
    }
    assert(ret == -EBADMSG || (ret == 0 && e.position > 8));
    close_end(&e);
    assert(ring_memory_make(all, length, 1) == 0);
    open_end(&e, &memory, true);
    atomic_store_explicit(&memory.places[1].position, 4 * SIZE,
                          memory_order_release);
    assert(ring_write(&e, data, sizeof(data), &want) == -EBADMSG);
    close_end(&e);
}

/* A header that says anything. */
static void open_garbage(struct rng *r)
{
    struct ring_memory m;
    uint32_t *words = (uint32_t *)(void *)all;

    for (int i = 0; i < 4; i++) {
        words[1 + rng_below(r, 5)] = (uint32_t)strange(r);
        if (ring_memory_open(&m, all, length) == 0) {
            assert(m.data + m.size <= all + length && m.readers <= 64);
        }
    }
}

int main(int argc, char **argv)
{
    struct rng r;

    rounds = count_arg(argc, argv, rounds);
    rng_init(&r, seed_arg(argc, argv));
    all = new_ring(&memory, 1, SIZE);
    length = ring_memory_length(1, SIZE);
    test_reader_ahead();
    for (uint64_t i = 0; i < rounds; i++) {
        assert(ring_memory_make(all, length, 1) == 0);
        read_garbage(&r);
        assert(ring_memory_make(all, length, 1) == 0);
        write_beside_garbage(&r);
        open_garbage(&r);
    }
    assert(read_ && written && garbage);
    free(all);
    printf("hostile_ring: %llu read, %llu written, %llu times garbage\n",
           (unsigned long long)read_, (unsigned long long)written,
           (unsigned long long)garbage);
    return 0;
}
