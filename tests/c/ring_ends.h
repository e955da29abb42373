/* SPDX-License-Identifier: MIT
 *
 * A ring in memory of one process, for the programs that drive it: exactly as large as it
 * has to be, so that AddressSanitizer sees who reads or writes beside it.
 */
#ifndef TPOOL_TESTS_RING_ENDS_H
#define TPOOL_TESTS_RING_ENDS_H

#include "shm/ring_reader.h"
#include "shm/ring_writer.h"
#include "stress.h"

static inline void *new_ring(struct ring_memory *m, uint32_t readers,
                             uint64_t size)
{
    size_t length = ring_memory_length(readers, size);
    void *memory = aligned_alloc(CACHE_LINE, length);

    assert(memory && ring_memory_make(memory, length, readers) == 0);
    assert(ring_memory_open(m, memory, length) == 0 && m->size == size);
    return memory;
}

static inline void open_end(struct ring_end *e, const struct ring_memory *m,
                            bool writes)
{
    assert(ring_end_open(e, m, writes) == 0);
}

static inline void close_end(struct ring_end *e)
{
    ring_end_close(e);
    ring_end_cleanup(e);
}

#endif
