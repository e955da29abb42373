/* SPDX-License-Identifier: MIT
 *
 * See parker.h.
 */
#include "base/parker.h"

static bool consume(struct parker *p)
{
    /* Acquire: pairs with the release in parker_wake(). */
    return atomic_exchange_explicit(&p->word, 0, memory_order_acquire) != 0;
}

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void parker_init(struct parker *p)
{
    atomic_init(&p->word, 0);
}

void parker_cleanup(struct parker *p)
{
    (void)p;
}

bool parker_wait(struct parker *p, int64_t timeout_ns)
{
    int64_t deadline_ns = deadline_in_ns(timeout_ns);

    while (!consume(p)) {
        int64_t left_ns = time_left_ns(deadline_ns);
        struct timespec ts = timespec_from_ns(left_ns);

        if (left_ns == 0) {
            return false;
        }
        /* EINTR, EAGAIN, ETIMEDOUT: the loop finds out which. */
        syscall(SYS_futex, &p->word, FUTEX_WAIT_PRIVATE, 0,
                left_ns < 0 ? NULL : &ts, NULL, 0);
    }
    return true;
}

void parker_wake(struct parker *p)
{
    atomic_store_explicit(&p->word, 1, memory_order_release);
    syscall(SYS_futex, &p->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#else

void parker_init(struct parker *p)
{
    atomic_init(&p->word, 0);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->cond, NULL);
}

void parker_cleanup(struct parker *p)
{
    pthread_cond_destroy(&p->cond);
    pthread_mutex_destroy(&p->lock);
}

bool parker_wait(struct parker *p, int64_t timeout_ns)
{
    int64_t deadline_ns = deadline_in_ns(timeout_ns);
    bool woken;

    pthread_mutex_lock(&p->lock);
    while (!(woken = consume(p))) {
        int64_t left_ns = time_left_ns(deadline_ns);

        if (left_ns < 0) {
            pthread_cond_wait(&p->cond, &p->lock);
        } else if (left_ns == 0) {
            break;
        } else {
            /* The condition counts in wall time; the loop in monotonic. */
            struct timespec ts;

            clock_gettime(CLOCK_REALTIME, &ts);
            ts = timespec_from_ns(deadline_after_ns(
                ts.tv_sec * NS_PER_SECOND + ts.tv_nsec, left_ns));
            pthread_cond_timedwait(&p->cond, &p->lock, &ts);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return woken;
}

void parker_wake(struct parker *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_store_explicit(&p->word, 1, memory_order_release);
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->lock);
}
#endif
