/* SPDX-License-Identifier: MIT
 *
 * See ring_memory.h.
 */
#include "shm/ring_memory.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would be in one process");
_Static_assert(sizeof(struct ring_place) == 2 * CACHE_LINE, "the format");
_Static_assert(sizeof(struct ring_header) <= CACHE_LINE, "the format");

static size_t head_length(uint32_t readers)
{
    return CACHE_LINE + (1 + (size_t)readers) * sizeof(struct ring_place);
}

size_t ring_memory_length(uint32_t readers, uint64_t size)
{
    return head_length(readers) + size;
}

int ring_memory_make(void *memory, size_t length, uint32_t readers)
{
    struct ring_header *h = memory;
    struct ring_place *places = (void *)((char *)memory + CACHE_LINE);
    uint64_t size = RING_SIZE_MIN;

    if ((uintptr_t)memory % CACHE_LINE || !readers ||
        readers > RING_READERS_MAX ||
        length < ring_memory_length(readers, size)) {
        return -EINVAL;
    }
    while (size < RING_SIZE_MAX &&
           ring_memory_length(readers, 2 * size) <= length) {
        size *= 2;
    }
    /* Relaxed: published by the magic. */
    atomic_store_explicit(&h->magic, 0, memory_order_relaxed);
    atomic_store_explicit(&h->version, RING_VERSION, memory_order_relaxed);
    atomic_store_explicit(&h->readers, readers, memory_order_relaxed);
    atomic_store_explicit(&h->zero, 0, memory_order_relaxed);
    atomic_store_explicit(&h->size, size, memory_order_relaxed);
    for (uint32_t i = 0; i <= readers; i++) {
        places[i] = (struct ring_place){.cpu = -1, .wake_at = UINT64_MAX};
    }
    /* Release: pairs with the acquire in ring_memory_open(). */
    atomic_store_explicit(&h->magic, RING_MAGIC, memory_order_release);
    return 0;
}

int ring_memory_open(struct ring_memory *m, void *memory, size_t length)
{
    struct ring_header *h = memory;
    uint32_t readers;
    uint64_t size;

    if ((uintptr_t)memory % CACHE_LINE || length < head_length(1) ||
        atomic_load_explicit(&h->magic, memory_order_acquire) != RING_MAGIC) {
        return -EBADMSG;
    }
    if (atomic_load_explicit(&h->version, memory_order_relaxed) !=
        RING_VERSION) {
        return -EPROTONOSUPPORT;
    }
    readers = atomic_load_explicit(&h->readers, memory_order_relaxed);
    size = atomic_load_explicit(&h->size, memory_order_relaxed);
    if (!readers || readers > RING_READERS_MAX || size < RING_SIZE_MIN ||
        size > RING_SIZE_MAX || size & (size - 1) ||
        ring_memory_length(readers, size) > length) {
        return -EBADMSG;
    }
    *m = (struct ring_memory){
        .places = (void *)((char *)memory + CACHE_LINE),
        .data = (uint8_t *)memory + head_length(readers),
        .size = size,
        .readers = readers,
    };
    return 0;
}
