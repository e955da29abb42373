/* SPDX-License-Identifier: MIT
 *
 * Ring memory: how a ring of messages lies in memory that processes share.  One process
 * writes, and up to RING_READERS_MAX read; each reader sees all messages, and the writer
 * waits for the slowest.  docs/ring.md has pictures.
 *
 *   struct ring_header   64 bytes: what it is; written once
 *   struct ring_place    128 bytes: the writer's
 *   struct ring_place    128 bytes for each reader
 *   data                 a power of two of bytes
 *
 * A place belongs to the process that has taken it: only that one stores into it, but for
 * rung_ns.  Positions count the bytes that have ever gone by, and never turn round; a
 * position modulo the size is the place in the data.
 *
 * A message is a uint32_t, its length, then 4 bytes that say nothing, then its bytes, then
 * as many as are missing to a multiple of 8.  It lies in one piece: where it does not fit in
 * before the end of the data, the length RING_SKIP stands there, and it begins at 0.
 *
 * WHO TRUSTS WHOM: nobody.  Any of it may be changed at any moment by any process that has
 * the memory.  So each word of others is loaded once, checked, and used from a register;
 * and a side keeps its own position in memory of its own.  What a process does with garbage
 * is to say -EBADMSG; it never touches anything outside of the ring.
 */
#ifndef TPOOL_SHM_RING_MEMORY_H
#define TPOOL_SHM_RING_MEMORY_H

#include "base/osdep.h"
#include <stdalign.h>

#define RING_MAGIC   0x676e7274u /* "trng" on a little-endian machine */
#define RING_VERSION 1u

#define RING_READERS_MAX 64
/* Bytes of data: less leaves nothing for messages, more no room for a length. */
#define RING_SIZE_MIN 64
#define RING_SIZE_MAX (1ull << 31)

/* A length: the rest, up to the end of the data, is no message. */
#define RING_SKIP UINT32_MAX

struct ring_header {
    _Atomic uint32_t magic; /* the last that is written */
    _Atomic uint32_t version;
    _Atomic uint32_t readers; /* places of them */
    _Atomic uint32_t zero;
    _Atomic uint64_t size; /* of the data, bytes */
};

/* ring_place.owner, where it is not the id of a process: see process.h. */
#define RING_FREE   0ull       /* nobody has come yet */
#define RING_CLOSED UINT64_MAX /* it has gone, and nobody comes any more */

struct ring_place {
    /* One line: changes with each message. */
    alignas(CACHE_LINE) _Atomic uint64_t position; /* up to here it is done */
    _Atomic int cpu; /* where it ran last; a hint, as what follows */
    _Atomic int64_t
        lag_ns; /* what its last wake-up took, 1: it polled, 0: unknown */
    /* One line: changes when it sleeps, comes or goes. */
    alignas(
        CACHE_LINE) _Atomic uint64_t wake_at; /* once the other is past it */
    _Atomic uint64_t owner;
    _Atomic uint32_t doorbell; /* 0: none yet */
    _Atomic int64_t rung_ns;   /* when it was last rung; monotonic clock */
};

/* As far as a process has looked at it, once.  Immutable. */
struct ring_memory {
    struct ring_place *places; /* the writer's, then the readers' */
    uint8_t *data;
    uint64_t size;
    uint32_t readers;
};

/* Bytes of memory for a ring of so many bytes of data. */
size_t ring_memory_length(uint32_t readers, uint64_t size);

/*
 * Makes a ring of what nobody else has yet: as large as fits in.  Returns 0, or -EINVAL: it
 * is too small, not aligned to CACHE_LINE, or readers is not from 1 to RING_READERS_MAX.
 */
int ring_memory_make(void *memory, size_t length, uint32_t readers);

/*
 * Looks at one that was made.  Returns 0; -EBADMSG: there is none; -EPROTONOSUPPORT: it is
 * of another version.
 */
int ring_memory_open(struct ring_memory *m, void *memory, size_t length);

/* The longest message: two of them may have to fit in, one for the rest before the end. */
static inline uint64_t ring_message_max(const struct ring_memory *m)
{
    return m->size / 2 - 8;
}

/* What a message of so many bytes takes. */
static inline uint64_t ring_message_room(uint64_t length)
{
    return (8 + length + 7) & ~7ull;
}

#endif
