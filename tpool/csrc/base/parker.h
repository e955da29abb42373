/* SPDX-License-Identifier: MIT
 *
 * Parker: one thread sleeps on it, another wakes it.  A futex, or a mutex and a
 * condition where there is none.
 */
#ifndef TPOOL_BASE_PARKER_H
#define TPOOL_BASE_PARKER_H

#include "base/clock.h"
#ifndef __linux__
#include <pthread.h>
#endif

struct parker {
    /* Any thread.  1: there is a wake-up to consume. */
    _Atomic uint32_t word;
#ifndef __linux__
    pthread_mutex_t lock;
    pthread_cond_t cond;
#endif
};

void parker_init(struct parker *p);
void parker_cleanup(struct parker *p);

/*
 * The one that sleeps.  Waits for timeout_ns (-1: for ever) and consumes the
 * wake-up.  False for a time-out; never early, never spurious.
 */
bool parker_wait(struct parker *p, int64_t timeout_ns);

/*
 * Any thread.  Release: pairs with the acquire in parker_wait().  Touches *p
 * for the last time when it stores the word, except for its address.
 */
void parker_wake(struct parker *p);

#endif
