/* SPDX-License-Identifier: MIT
 *
 * Ring: random pushes and pops against a pair of counters, with memory that is refused
 * now and then.  It grows, and is small again when it is empty.
 */
#include "stress.h"
#include "queue/ring.h"

static bool refuse;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return refuse ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse ? NULL : __real_realloc(old, size);
}

int main(int argc, char **argv)
{
    uint64_t ops = count_arg(argc, argv, 100000), put = 0, got = 0, most = 0;
    struct ring ring = RING_EMPTY;
    uint32_t pushes = 50;
    struct rng r;

    rng_init(&r, seed_arg(argc, argv));
    assert(!ring_pop(&ring));
    refuse = true;
    assert(ring_push(&ring, &ring) == -ENOMEM && !ring.count);
    for (uint64_t i = 0; i < ops; i++) {
        if (i % 4096 == 0) {
            pushes = 10 +
                     rng_below(&r, 80); /* it grows for a while, or shrinks */
        }
        refuse = rng_below(&r, 4) == 0;
        if (rng_below(&r, 100) < pushes) {
            int ret = ring_push(&ring, (void *)(uintptr_t)(put + 1));

            assert(ret == 0 || (refuse && ret == -ENOMEM));
            put += ret == 0;
        } else {
            void *item = ring_pop(&ring);

            assert((uintptr_t)item == (got < put ? got + 1 : 0));
            got += item != NULL;
        }
        assert(ring.count == put - got);
        for (size_t n = 0; n < ring.count && n < 3; n++) {
            assert((uintptr_t)*ring_slot(&ring, n) == got + n + 1);
        }
        most = ring.capacity > most ? ring.capacity : most;
    }
    refuse = false;
    while (ring_pop(&ring)) {
    }
    assert(ring.capacity == RING_CAPACITY_MIN && most > 64 * ring.capacity);
    ring_cleanup(&ring);
    printf("ring: %llu operations, %llu pushes, capacity %llu at most\n",
           (unsigned long long)ops, (unsigned long long)put,
           (unsigned long long)most);
    return 0;
}
