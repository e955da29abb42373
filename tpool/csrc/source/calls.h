/* SPDX-License-Identifier: MIT
 *
 * The calls in flight, as a source: what is known of them is in the call table.  That
 * one has ended a poll phase sees by the completion list, which it always looks at.
 * What they cost, polled for and not, at once and one after the other, is measured:
 * see call_trial.h.
 */
#ifndef TPOOL_SOURCE_CALLS_H
#define TPOOL_SOURCE_CALLS_H

#include "aio/call_trial.h"
#include "aio/source.h"

struct calls_source {
    struct aio_source source;
    struct call_trial trial;
    int64_t seen_ns; /* the epoch that the owner has seen begin, */
    bool blocks;     /* and whether nobody polls, as it knows */
};

/* A source of it; nobody else has the context yet. */
void calls_init(struct calls_source *calls, struct aio_context *c);

#endif
