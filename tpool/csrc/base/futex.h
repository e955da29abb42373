/* SPDX-License-Identifier: MIT
 *
 * Futex: threads sleep until a word is no longer what it was.  The system's, or a
 * mutex and a condition where there is none.
 */
#ifndef TPOOL_BASE_FUTEX_H
#define TPOOL_BASE_FUTEX_H

#include "base/clock.h"
#ifndef __linux__
#define TPOOL_NO_FUTEX
#endif
#ifdef TPOOL_NO_FUTEX
#include <pthread.h>
#endif

/* Where those sleep that wait for some words: any thread. */
struct futex_bed {
#ifdef TPOOL_NO_FUTEX
    pthread_mutex_t lock;
    pthread_cond_t cond;
#else
    char unused; /* the kernel has it, by the address of the word */
#endif
};

void futex_bed_init(struct futex_bed *bed);
void futex_bed_cleanup(struct futex_bed *bed);

/*
 * Any thread.  Sleeps while *word is value, at most for timeout_ns (-1: for ever).
 * Returns 0, also for no reason; -ETIMEDOUT; or -EINTR: a signal handler has run, or,
 * where a signal does not end a sleep, may have.
 */
int futex_wait(struct futex_bed *bed, _Atomic uint32_t *word, uint32_t value,
               int64_t timeout_ns);

/*
 * Any thread that has changed the word: wakes all that sleep for it.  Of the word only
 * the address is used, it may be gone.
 */
void futex_wake(struct futex_bed *bed, _Atomic uint32_t *word);

#endif
