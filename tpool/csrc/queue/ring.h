/* SPDX-License-Identifier: MIT
 *
 * Ring: a FIFO of pointers that grows, and shrinks again.  One thread at a time.
 */
#ifndef TPOOL_QUEUE_RING_H
#define TPOOL_QUEUE_RING_H

#include "base/osdep.h"

#define RING_CAPACITY_MIN 8
/* A ring that is this much too large is halved: far from where it grows again. */
#define RING_SPARSE 4

struct ring {
    void **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t first;    /* where the oldest is */
    size_t count;
};

#define RING_EMPTY ((struct ring){.slots = NULL})

/* Nothing is in it. */
void ring_cleanup(struct ring *r);

/* Returns 0 or -ENOMEM: then nothing has changed.  capacity: at least count. */
SELDOM int ring_resize(struct ring *r, size_t capacity);

/* The nth from the oldest, or where it will be. */
static inline void **ring_slot(const struct ring *r, size_t n)
{
    return &r->slots[(r->first + n) & (r->capacity - 1)];
}

/* Returns 0 or -ENOMEM: then nothing has changed. */
static inline int ring_push(struct ring *r, void *item)
{
    if (r->count == r->capacity) {
        int ret = ring_resize(r, r->capacity ? 2 * r->capacity
                                             : RING_CAPACITY_MIN);

        if (ret < 0) {
            return ret;
        }
    }
    *ring_slot(r, r->count++) = item;
    return 0;
}

/* The oldest, or NULL. */
static inline void *ring_pop(struct ring *r)
{
    void *item;

    if (!r->count) {
        return NULL;
    }
    item = *ring_slot(r, 0);
    r->first = (r->first + 1) & (r->capacity - 1);
    r->count--;
    if (r->count < r->capacity / RING_SPARSE &&
        r->capacity > RING_CAPACITY_MIN) {
        (void)ring_resize(r, r->capacity / 2); /* no memory: it stays */
    }
    return item;
}

#endif
