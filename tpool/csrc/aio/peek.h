/* SPDX-License-Identifier: MIT
 *
 * A look that is no call: a word in memory, which a poll phase reads all the time.
 */
#ifndef TPOOL_AIO_PEEK_H
#define TPOOL_AIO_PEEK_H

#include "base/osdep.h"

/* Of a context: each has one word at most. */
#define AIO_SOURCES_MAX 9

/* There is work once (*word & mask) != idle. */
struct aio_peek {
    const _Atomic uint32_t *word; /* NULL: there is none */
    uint32_t mask, idle;
};

/* Those that one poll phase looks at: on the owner's stack, one behind the other. */
struct aio_peeks {
    int n;
    struct aio_peek peeks[AIO_SOURCES_MAX];
};

/* Acquire: what was written before the word is seen by who dispatches. */
static inline bool aio_peek(const struct aio_peek *p)
{
    return (atomic_load_explicit(p->word, memory_order_acquire) & p->mask) !=
           p->idle;
}

static inline bool aio_peek_any(const struct aio_peeks *all)
{
    for (int i = 0; i < all->n; i++) {
        if (aio_peek(&all->peeks[i])) {
            return true;
        }
    }
    return false;
}

#endif
