/* SPDX-License-Identifier: MIT
 *
 * The calls in flight, as a source: what is known of them is in the call table.  That
 * one has ended a poll phase sees by the completion list, which it always looks at.
 * What they cost, polled for and not, at once and one after the other, is measured:
 * see poll_trial.h.
 */
#ifndef TPOOL_SOURCE_CALLS_H
#define TPOOL_SOURCE_CALLS_H

#include "aio/source.h"
#include "tune/poll_trial.h"

struct calls_source {
    struct aio_source source;
    struct poll_trial trial;
    /* An epoch of it: what there was when it began, and has been since. */
    int64_t begin_ns, cpu_ns, own_cpu_ns, polled_ns, done;
    bool anew;        /* it is to begin */
    int64_t flown_ns; /* while a call was in flight */
    int64_t until_ns; /* that is counted to here */
};

/* A source of it; nobody else has the context yet. */
void calls_init(struct calls_source *calls, struct aio_context *c);

#endif
