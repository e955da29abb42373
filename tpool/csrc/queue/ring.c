/* SPDX-License-Identifier: MIT
 *
 * See ring.h.
 */
#include "queue/ring.h"

#include <stdlib.h>
#include <string.h>

int ring_resize(struct ring *r, size_t capacity)
{
    void **slots = malloc(capacity * sizeof(*slots));
    size_t tail = r->capacity - r->first;

    if (!slots) {
        return -ENOMEM;
    }
    if (r->count) {
        tail = tail < r->count ? tail : r->count;
        memcpy(slots, r->slots + r->first, tail * sizeof(*slots));
        memcpy(slots + tail, r->slots, (r->count - tail) * sizeof(*slots));
    }
    free(r->slots);
    r->slots = slots;
    r->capacity = capacity;
    r->first = 0;
    return 0;
}

void ring_cleanup(struct ring *r)
{
    free(r->slots);
    *r = RING_EMPTY;
}
