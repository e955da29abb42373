/* SPDX-License-Identifier: MIT
 *
 * See ring_writer.h.
 */
#include "shm/ring_writer.h"

#include <string.h>

static bool is_read_by_any(struct ring_end *w)
{
    for (uint32_t n = 0; n < w->n_peers; n++) {
        if (ring_end_peer_is_there(w, n)) {
            return true;
        }
    }
    return false;
}

/* Looks how far the slowest reader is; *want: that it moves.  Returns 0 or -EBADMSG. */
static int look(struct ring_end *w, struct ring_want *want)
{
    uint64_t size = w->memory.size, most = 0;

    for (uint32_t n = 0; n < w->n_peers; n++) {
        /* Acquire: pairs with P in ring_end_move(): the room is not read any more. */
        uint64_t used = w->position -
                        atomic_load_explicit(&w->memory.places[n + 1].position,
                                             memory_order_acquire);

        if (!ring_end_peer_is_there(w, n)) {
            continue;
        }
        if (used > size || used % 8) {
            w->error = -EBADMSG;
            return w->error;
        }
        if (used >= most) {
            most = used;
            want->place = n + 1;
        }
    }
    w->limit = w->position - most + size;
    return 0;
}

static void put_length(struct ring_end *w, uint64_t at, uint32_t length)
{
    /* Relaxed: published by the position. */
    atomic_store_explicit((_Atomic uint32_t *)(void *)(w->memory.data + at),
                          length, memory_order_relaxed);
}

int ring_write(struct ring_end *w, const void *data, size_t length,
               struct ring_want *want)
{
    uint64_t size = w->memory.size, at = w->position & (size - 1);
    uint64_t room, total;

    if (length > ring_message_max(&w->memory)) {
        return -EMSGSIZE;
    }
    if (w->error || !is_read_by_any(w)) {
        return w->error ? w->error : ring_end_lonely(w);
    }
    room = total = ring_message_room(length);
    if (room > size - at) {
        total += size - at;
    }
    if (w->limit - w->position < total) {
        int ret = look(w, want);

        if (ret < 0) {
            return ret;
        }
        if (w->limit - w->position < total) {
            /* Up to the last byte that is wanted: past the one before. */
            want->position = w->position + total - size - 1;
            return 0;
        }
    }
    if (total > room) {
        put_length(w, at, RING_SKIP);
        at = 0;
    }
    put_length(w, at, (uint32_t)length);
    memcpy(w->memory.data + at + 8, data, length);
    ring_end_move(w, w->position + total);
    return 1;
}
