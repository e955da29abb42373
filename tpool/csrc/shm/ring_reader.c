/* SPDX-License-Identifier: MIT
 *
 * See ring_reader.h.
 */
#include "shm/ring_reader.h"

/* Looks how far the writer is.  Whether there is something. */
static bool look(struct ring_end *r)
{
    /* Acquire: pairs with P in ring_end_move(). */
    r->limit = atomic_load_explicit(&r->memory.places[0].position,
                                    memory_order_acquire);
    return r->limit != r->position;
}

static uint32_t length_at(const struct ring_end *r, uint64_t at)
{
    /* Relaxed: the position has published it. */
    return atomic_load_explicit(
        (_Atomic uint32_t *)(void *)(r->memory.data + at),
        memory_order_relaxed);
}

static int say_garbage(struct ring_end *r)
{
    r->error = -EBADMSG;
    return r->error;
}

int ring_read(struct ring_end *r, struct ring_message *m,
              struct ring_want *want)
{
    uint64_t size = r->memory.size, at = r->position & (size - 1);
    uint64_t there, room, skipped = 0;
    uint32_t length;

    if (r->error) {
        return r->error;
    }
    if (r->limit == r->position && !look(r)) {
        *want = (struct ring_want){.place = 0, .position = r->position};
        /* It may have written its last, and then gone: hence the second look. */
        if (ring_end_peer_is_there(r, 0)) {
            return 0;
        }
        if (!look(r)) {
            return ring_end_lonely(r);
        }
    }
    there = r->limit - r->position;
    if (there > size || there % 8) {
        return say_garbage(r);
    }
    length = length_at(r, at);
    if (length == RING_SKIP) {
        skipped = size - at;
        if (skipped >= there) { /* as it always is at 0 */
            return say_garbage(r);
        }
        at = 0;
        length = length_at(r, at); /* no second of them */
    }
    room = ring_message_room(length);
    if (room > size - at || room > there - skipped) {
        return say_garbage(r);
    }
    *m = (struct ring_message){.data = r->memory.data + at + 8,
                               .length = length,
                               .next = r->position + skipped + room};
    return 1;
}
