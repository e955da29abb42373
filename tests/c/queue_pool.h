/* SPDX-License-Identifier: MIT
 *
 * A pool in miniature around the request queue: starts the threads that the
 * queue asks for, and runs requests that only count.
 */
#ifndef TPOOL_QUEUE_POOL_H
#define TPOOL_QUEUE_POOL_H

#include "stress.h"
#include "queue/queue_lookers.h"

struct request {
    struct work work;
    int submitter;
    uint64_t number;
    /* Plain on purpose: the queue publishes it to the worker. */
    int ran;
    atomic_bool done;
    /* Where set, the call ends when this does. */
    atomic_bool *blocked_by;
    bool sleeps; /* until then; else it computes */
};

struct pool {
    struct request_queue queue;
    struct cpu_pair cpus;
    /* Workers whose thread has not ended. */
    atomic_int live;
    atomic_ullong started, ran;
    /* What calls are said to last: nobody stands by for long ones. */
    int64_t call_ns;
    /* Not where the submitter runs. */
    bool pin_workers;
    /* A worker, before each call, or NULL. */
    void (*on_take)(struct request *, uint64_t *state);
};

static void pool_answer(struct pool *p, enum queue_need need);

static inline void pool_call(struct pool *p, struct request *request)
{
    assert(!request->ran);
    request->ran = 1;
    while (request->sleeps &&
           !atomic_load_explicit(request->blocked_by, memory_order_acquire)) {
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    if (request->blocked_by) {
        WAIT_UNTIL(
            atomic_load_explicit(request->blocked_by, memory_order_acquire));
    }
    atomic_fetch_add_explicit(&p->ran, 1, memory_order_relaxed);
}

static void *pool_worker(void *arg)
{
    struct pool *p = arg;
    struct request_queue *q = &p->queue;
    struct queue_worker w;
    struct call_times times = {.run_ns = p->call_ns};
    uint64_t state[8] = {0};
    struct work *work, *next;

    request_queue_worker_init(&w);
    if (p->pin_workers) {
        pin_to_cpu(1);
    }
    while ((work = request_queue_get(q, &w))) {
        pool_answer(p, request_queue_begin_call(q, &w));
        for (; work; work = next) {
            struct request *request = (struct request *)work;

            if (p->on_take) {
                p->on_take(request, state);
            }
            pool_call(p, request);
            /* Either it goes on within the call, or it looks again. */
            next = request_queue_end_call(q, &w, &times,
                                          request->number % 3 == 0);
            atomic_store_explicit(&request->done, true, memory_order_release);
        }
    }
    request_queue_worker_cleanup(&w);
    atomic_fetch_sub_explicit(&p->live, 1, memory_order_release);
    return NULL;
}

static void pool_answer(struct pool *p, enum queue_need need)
{
    if (need == QUEUE_SPAWN) {
        atomic_fetch_add_explicit(&p->live, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&p->started, 1, memory_order_relaxed);
        assert(pthread_detach(thread_start(pool_worker, p)) == 0);
    }
}

static inline void pool_init(struct pool *p, int64_t poll_max_ns,
                             uint32_t min_threads, uint32_t max_threads,
                             int64_t idle_timeout_ns)
{
    /* Once grown, the window stays: a miss divides it by 1. */
    struct poll_params params = {.max_ns = poll_max_ns, .shrink = 1};

    cpu_pair_init(&p->cpus);
    atomic_init(&p->live, 0);
    atomic_init(&p->started, 0);
    atomic_init(&p->ran, 0);
    p->call_ns = 2 * SHORT_CALL_NS;
    p->pin_workers = false;
    p->on_take = NULL;
    assert(request_queue_init(&p->queue, &p->cpus, &params, idle_timeout_ns) ==
           0);
    pool_answer(p,
                request_queue_set_limits(&p->queue, min_threads, max_threads));
}

static inline void pool_push(struct pool *p, struct request *newest,
                             struct request *oldest)
{
    pool_answer(p, request_queue_push(&p->queue, &newest->work, &oldest->work));
}

static inline void pool_submit(struct pool *p, struct request *request)
{
    assert(request_queue_reserve(&p->queue, 1, UINT32_MAX));
    request->work.queued = true;
    request->work.link.next = NULL;
    pool_push(p, request, request);
}

/*
 * No push is going on.  Whether a request is queued, nobody is bound to look at
 * it, and somebody would be free to: it waits for ever (invariant Q broken).
 */
static inline bool pool_has_lost(struct pool *p)
{
    struct request_queue *q = &p->queue;
    bool lost;

    pthread_mutex_lock(&q->lock);
    lost = queue_look(q) && !queue_somebody_looks(q) &&
           (q->newest || q->threads < q->max_threads);
    pthread_mutex_unlock(&q->lock);
    return lost;
}

/* Shuts down, waits for the workers, and finds the queue empty. */
static inline void pool_end(struct pool *p)
{
    struct queue_stats stats;

    request_queue_shutdown(&p->queue);
    WAIT_UNTIL(!atomic_load_explicit(&p->live, memory_order_acquire));
    request_queue_get_stats(&p->queue, &stats);
    assert(stats.threads == 0 && stats.queued == 0 && stats.running == 0);
    request_queue_cleanup(&p->queue);
}

#endif
