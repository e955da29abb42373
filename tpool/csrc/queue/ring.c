/* SPDX-License-Identifier: MIT
 *
 * See ring.h.
 */
#include "queue/ring.h"

#include <stdlib.h>
#include <string.h>

/* All of them, in their order. */
static void move(struct ring *r, void **slots)
{
    size_t tail = r->capacity - r->first;

    tail = tail < r->count ? tail : r->count;
    memcpy(slots, r->slots + r->first, tail * sizeof(*slots));
    memcpy(slots + tail, r->slots, (r->count - tail) * sizeof(*slots));
    free(r->slots);
    r->first = 0;
}

static bool fits(const struct ring *r, size_t capacity)
{
    return r->first + r->count <= capacity;
}

int ring_resize(struct ring *r, size_t capacity)
{
    bool stay = fits(r, r->capacity) && fits(r, capacity); /* where they are */
    size_t size = capacity * sizeof(*r->slots);
    void **slots = stay ? realloc(r->slots, size) : malloc(size);

    if (!slots) {
        return -ENOMEM;
    }
    if (!stay) {
        move(r, slots);
    }
    r->slots = slots;
    r->capacity = capacity;
    return 0;
}

void ring_cleanup(struct ring *r)
{
    free(r->slots);
    *r = RING_EMPTY;
}
