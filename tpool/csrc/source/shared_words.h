/* SPDX-License-Identifier: MIT
 *
 * Shared words: 32 bits of memory that somebody else writes, another process say.  The poll
 * phase looks at them; who writes them need not know of it, and so wakes nobody: where that
 * is so, a block is bounded.
 */
#ifndef TPOOL_SOURCE_SHARED_WORDS_H
#define TPOOL_SOURCE_SHARED_WORDS_H

#include "aio/source.h"

/* Context acquired. */
struct shared_word {
    struct shared_word *next;
    const _Atomic uint32_t *word;
    uint32_t seen; /* what it was when it was looked at last */
    bool equals;   /* it has changed if it is value, else if it is not seen */
    bool unseen;   /* it was not looked at yet */
    uint32_t value;
    int64_t block_max_ns; /* -1: who writes it wakes the owner */
    uint64_t pass;        /* the dispatch that has called for it last */
    int (*changed)(struct shared_word *w); /* calls back: 0, or AIO_RAISED */
};

struct shared_words {
    struct aio_source source;
    struct shared_word *first;
    uint64_t passes;
};

/* Owner, or context acquired. */
void shared_words_add(struct shared_words *all, struct aio_context *c,
                      struct shared_word *w);
void shared_words_remove(struct shared_words *all, struct aio_context *c,
                         struct shared_word *w);

#endif
