/* SPDX-License-Identifier: MIT
 *
 * The part of the request queue that any thread calls.  See request_queue.h for
 * the protocol, whose letters stand here, and its proof.
 */
#include "queue/queue_lookers.h"

#include <string.h>

int request_queue_init(struct request_queue *q, struct cpu_pair *cpus,
                       const struct poll_params *params,
                       int64_t idle_timeout_ns)
{
    pthread_mutexattr_t attr;
    int ret;

    memset(q, 0, sizeof(*q));
    completion_list_init(&q->incoming);
    atomic_init(&q->lookers, 0);
    atomic_init(&q->reserved, 0);
    atomic_init(&q->taken, 0);
    atomic_init(&q->backlog, false);
    atomic_init(&q->interrupt, false);
    atomic_init(&q->warm, false);
    q->cpus = cpus;
    q->idle_timeout_ns = idle_timeout_ns;
    q->bounded = true;
    q->max_threads = 1;
    q->params = *params;
    /* Until calls have been seen, each gets a thread at once. */
    atomic_init(&q->call_ns, 2 * SHORT_CALL_NS);
    pthread_mutexattr_init(&attr);
#ifdef __GLIBC__
    /* Sections are short: a moment of spinning beats a futex wait. */
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
    ret = -pthread_mutex_init(&q->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return ret;
}

void request_queue_cleanup(struct request_queue *q)
{
    assert(!q->threads && !q->head && !completion_list_peek(&q->incoming));
    pthread_mutex_destroy(&q->lock);
}

/* Any thread.  taken is the older of the two: never less than none. */
static uint64_t queued(struct request_queue *q, uint64_t reserved)
{
    /* Relaxed: a bound on a number, it publishes nothing. */
    uint64_t taken = atomic_load_explicit(&q->taken, memory_order_relaxed);

    return reserved > taken ? reserved - taken : 0;
}

uint64_t request_queue_count(struct request_queue *q)
{
    return queued(q, atomic_load_explicit(&q->reserved, memory_order_relaxed));
}

bool request_queue_reserve(struct request_queue *q, uint32_t n, uint32_t max)
{
    uint64_t reserved;

    /* Unbounded: do not touch the line that the workers write. */
    if (max == QUEUE_UNBOUNDED) {
        atomic_fetch_add_explicit(&q->reserved, n, memory_order_relaxed);
        return true;
    }
    reserved = atomic_load_explicit(&q->reserved, memory_order_relaxed);
    do {
        if (n > max || queued(q, reserved) > max - n) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &q->reserved, &reserved, reserved + n, memory_order_relaxed,
        memory_order_relaxed));
    return true;
}

uint32_t request_queue_reserve_some(struct request_queue *q, uint32_t n,
                                    uint32_t max)
{
    uint64_t now = queued(
        q, atomic_load_explicit(&q->reserved, memory_order_relaxed));
    uint32_t room = now < max ? max - (uint32_t)now : 0;

    n = n < room ? n : room;
    return n && request_queue_reserve(q, n, max) ? n : 0;
}

enum queue_need request_queue_push(struct request_queue *q, struct work *newest,
                                   struct work *oldest)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *wake = NULL;

    completion_list_push_chain(&q->incoming, &newest->link, &oldest->link);
    if (!queue_somebody_looks(q)) {
        pthread_mutex_lock(&q->lock);
        /* Again: a looker may have taken it, and be in a call by now. */
        if (queue_look(q) && !queue_somebody_looks(q)) {
            need = queue_find_looker(q, &wake);
        }
        pthread_mutex_unlock(&q->lock);
        queue_wake_worker(wake);
    }
    return need;
}

enum queue_need request_queue_find_another(struct request_queue *q)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *wake = NULL;

    pthread_mutex_lock(&q->lock);
    if (queue_look(q)) {
        need = queue_find_looker(q, &wake);
    }
    pthread_mutex_unlock(&q->lock);
    queue_wake_worker(wake);
    return need;
}

enum queue_need request_queue_fan_out(struct request_queue *q)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *wake = NULL;

    /* Relaxed: one more or less than there might be. */
    if (atomic_load_explicit(&q->warm, memory_order_relaxed)) {
        return need;
    }
    pthread_mutex_lock(&q->lock);
    if (queue_look(q) &&
        q->threads - q->active <
            queued(q,
                   atomic_load_explicit(&q->reserved, memory_order_relaxed))) {
        need = queue_find_looker(q, &wake);
    }
    pthread_mutex_unlock(&q->lock);
    queue_wake_worker(wake);
    return need;
}

enum queue_need request_queue_spawn_failed(struct request_queue *q,
                                           uint32_t *left)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *wake = NULL;

    pthread_mutex_lock(&q->lock);
    *left = --q->threads;
    queue_count_looker(q, -1);
    cpu_pair_set_worker_comes(q->cpus, false);
    /* Others may have counted on it; who is parked now was in a call then. */
    if (queue_look(q) && !queue_somebody_looks(q)) {
        queue_splice(q);
        if (q->newest || q->tail->asked == q->asked) {
            need = queue_find_looker(q, &wake);
        }
    }
    pthread_mutex_unlock(&q->lock);
    queue_wake_worker(wake);
    return need;
}

bool request_queue_grow(struct request_queue *q)
{
    bool grow;

    pthread_mutex_lock(&q->lock);
    grow = q->threads < q->min_threads && !q->shutdown;
    if (grow) {
        queue_ask(q);
    }
    pthread_mutex_unlock(&q->lock);
    return grow;
}

bool request_queue_cancel(struct request_queue *q, struct work *work)
{
    bool queued;

    pthread_mutex_lock(&q->lock);
    queued = work->queued;
    if (queued) {
        queue_splice(q);
        queue_unlink(q, work);
    }
    pthread_mutex_unlock(&q->lock);
    return queued;
}

struct work *request_queue_cancel_oldest(struct request_queue *q, bool spare)
{
    struct work *work;
    uint32_t n;

    pthread_mutex_lock(&q->lock);
    queue_splice(q);
    work = q->head;
    /* Relaxed: under the lock only the workers there are stop being lookers. */
    n = spare ? atomic_load_explicit(&q->lookers, memory_order_relaxed) : 0;
    for (; work && n; n--) {
        work = work_of(work->link.next);
    }
    if (work) {
        queue_unlink(q, work);
    }
    pthread_mutex_unlock(&q->lock);
    return work;
}

struct work *request_queue_cancel_deserted(struct request_queue *q)
{
    struct work *work;

    pthread_mutex_lock(&q->lock);
    /* What is not in the FIFO yet came later, as what was asked for knows. */
    work = q->threads ? NULL : q->head;
    if (work && work->asked == q->asked) {
        work = NULL; /* who pushed it is about to ask */
    }
    if (work) {
        queue_unlink(q, work);
    }
    pthread_mutex_unlock(&q->lock);
    return work;
}

/* Lock held.  Takes every parked worker off the stack, chained by .older. */
static struct queue_worker *unpark_all(struct request_queue *q)
{
    struct queue_worker *w, *all = q->newest;

    for (w = all; w; w = w->older) {
        w->parked = false;
        queue_start_looking(q, w);
    }
    q->newest = NULL;
    return all;
}

static void wake_all(struct queue_worker *w)
{
    struct queue_worker *older;

    for (; w; w = older) {
        older = w->older;
        queue_wake_worker(w);
    }
}

void request_queue_shutdown(struct request_queue *q)
{
    struct queue_worker *all;

    pthread_mutex_lock(&q->lock);
    q->shutdown = true;
    queue_update_interrupt(q);
    all = unpark_all(q);
    pthread_mutex_unlock(&q->lock);
    wake_all(all);
}

enum queue_need request_queue_set_limits(struct request_queue *q,
                                         uint32_t min_threads,
                                         uint32_t max_threads)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *all, *wake;

    pthread_mutex_lock(&q->lock);
    q->min_threads = min_threads;
    q->max_threads = max_threads;
    queue_update_interrupt(q);
    all = unpark_all(q); /* they park again, by the new rules */
    if (queue_look(q) && !queue_somebody_looks(q)) {
        need = queue_find_looker(q, &wake);
    }
    pthread_mutex_unlock(&q->lock);
    wake_all(all);
    return need;
}

void request_queue_set_params(struct request_queue *q,
                              const struct poll_params *params)
{
    pthread_mutex_lock(&q->lock);
    q->params = *params;
    poll_window_init(&q->poll, 0);
    q->stale = q->polling;
    queue_update_interrupt(q);
    pthread_mutex_unlock(&q->lock);
}

void request_queue_get_stats(struct request_queue *q, struct queue_stats *out)
{
    int64_t now_ns = clock_now_ns();

    pthread_mutex_lock(&q->lock);
    *out = q->stats;
    for (struct queue_worker *w = q->newest; w; w = w->older) {
        out->parked_ns += (uint64_t)remaining_ns(w->parked_ns, now_ns);
    }
    out->threads = q->threads;
    out->running = q->active;
    out->idle = q->threads - q->active;
    out->poll_ns = (uint64_t)q->poll.poll_ns;
    out->wake_ns = (uint64_t)q->wake_ns;
    pthread_mutex_unlock(&q->lock);
    out->submitted = atomic_load_explicit(&q->reserved, memory_order_relaxed);
    out->queued = queued(q, out->submitted);
}
