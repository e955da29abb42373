/* SPDX-License-Identifier: MIT
 *
 * See futex.h.
 */
#include "base/futex.h"

#ifndef TPOOL_NO_FUTEX
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void futex_bed_init(struct futex_bed *bed)
{
    bed->unused = 0;
}

void futex_bed_cleanup(struct futex_bed *bed)
{
    (void)bed;
}

int futex_wait(struct futex_bed *bed, _Atomic uint32_t *word, uint32_t value,
               int64_t timeout_ns)
{
    struct timespec ts = timespec_from_ns(timeout_ns);
    long ret = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
                       timeout_ns < 0 ? NULL : &ts, NULL, 0);

    (void)bed;
    /* EAGAIN: the word was another already. */
    return ret == 0 || errno == EAGAIN ? 0 : -errno;
}

void futex_wake(struct futex_bed *bed, _Atomic uint32_t *word)
{
    (void)bed;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#else

/* A condition does not tell of signals: it is left so often to look for them. */
#define SIGNALS_NS (50 * NS_PER_MS)

void futex_bed_init(struct futex_bed *bed)
{
    pthread_mutex_init(&bed->lock, NULL);
    pthread_cond_init(&bed->cond, NULL);
}

void futex_bed_cleanup(struct futex_bed *bed)
{
    pthread_cond_destroy(&bed->cond);
    pthread_mutex_destroy(&bed->lock);
}

/* Between the look and the sleep nobody wakes: who does takes the lock. */
int futex_wait(struct futex_bed *bed, _Atomic uint32_t *word, uint32_t value,
               int64_t timeout_ns)
{
    bool brief = timeout_ns >= 0 && timeout_ns <= SIGNALS_NS;
    struct timespec ts;
    int err = 0;

    /* The condition counts in wall time. */
    ts = timespec_from_ns(deadline_after_ns(clock_read_ns(CLOCK_REALTIME),
                                            brief ? timeout_ns : SIGNALS_NS));
    pthread_mutex_lock(&bed->lock);
    if (atomic_load_explicit(word, memory_order_relaxed) == value) {
        err = pthread_cond_timedwait(&bed->cond, &bed->lock, &ts);
    }
    pthread_mutex_unlock(&bed->lock);
    return err == ETIMEDOUT && !brief ? -EINTR : -err;
}

void futex_wake(struct futex_bed *bed, _Atomic uint32_t *word)
{
    (void)word;
    pthread_mutex_lock(&bed->lock);
    pthread_cond_broadcast(&bed->cond);
    pthread_mutex_unlock(&bed->lock);
}
#endif
