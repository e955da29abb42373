/* SPDX-License-Identifier: MIT
 *
 * See io_threads.h.
 */
#include "source/io_threads.h"
#include "base/os_thread.h"

#include <stdlib.h>

/* As those of a ThreadPool. */
#define THREADS_MAX     64
#define IDLE_TIMEOUT_NS (10 * NS_PER_SECOND)

struct io_thread {
    struct io_threads *in;
    struct queue_worker worker;
    pthread_t id;
    /* Under its lock. */
    bool left; /* it does nothing any more */
    struct io_thread *next;
};

struct io_threads *io_threads_new(struct aio_context *c)
{
    struct io_threads *t = aligned_alloc(
        CACHE_LINE, (sizeof(*t) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);

    if (!t) {
        return NULL;
    }
    if (request_queue_init(&t->queue, &c->core->cpus, &c->params,
                           IDLE_TIMEOUT_NS) < 0) {
        free(t);
        return NULL;
    }
    t->queue.bounded = false;
    request_queue_set_limits(&t->queue, 0, THREADS_MAX);
    t->core = aio_core_ref(c->core);
    atomic_init(&t->refs, 1);
    atomic_init(&t->unfinished, 0);
    atomic_init(&t->awaited, 0);
    futex_bed_init(&t->bed);
    pthread_mutex_init(&t->lock, NULL);
    t->threads = NULL;
    return t;
}

struct io_threads *io_threads_ref(struct io_threads *t)
{
    /* Relaxed: the caller holds a reference, it is there. */
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void io_threads_unref(struct io_threads *t)
{
    /* Acquire-release: what others did before their unref comes before this. */
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
        request_queue_cleanup(&t->queue);
        pthread_mutex_destroy(&t->lock);
        futex_bed_cleanup(&t->bed);
        aio_core_unref(t->core);
        free(t);
    }
}

static void join(struct io_thread *thread)
{
    pthread_join(thread->id, NULL);
    request_queue_worker_cleanup(&thread->worker);
    free(thread);
}

/* Lock held. */
static void join_those_that_left(struct io_threads *t)
{
    struct io_thread **link = &t->threads, *thread;

    while ((thread = *link)) {
        if (thread->left) {
            *link = thread->next;
            join(thread);
        } else {
            link = &thread->next;
        }
    }
}

static void *run(void *arg);

/* Returns 0 or -errno. */
static int start(struct io_threads *t)
{
    struct io_thread *thread = malloc(sizeof(*thread));
    int ret;

    if (!thread) {
        return -ENOMEM;
    }
    thread->in = t;
    thread->left = false;
    request_queue_worker_init(&thread->worker);
    aio_core_enter(t->core);
    pthread_mutex_lock(&t->lock); /* its id is there before it can have left */
    join_those_that_left(t);
    ret = os_thread_start(&thread->id, run, thread);
    if (ret == 0) {
        thread->next = t->threads;
        t->threads = thread;
    }
    pthread_mutex_unlock(&t->lock);
    if (ret < 0) {
        aio_core_leave(t->core);
        request_queue_worker_cleanup(&thread->worker);
        free(thread);
    }
    return ret;
}

/* What the queue needs.  False: a thread could not be had, the others are to do it all. */
static bool answer(struct io_threads *t, enum queue_need need)
{
    uint32_t left;
    bool failed = false;

    while (need == QUEUE_SPAWN && start(t) < 0) {
        failed = true;
        need = request_queue_spawn_failed(&t->queue, &left);
    }
    return !failed;
}

/* One less is to be waited for. */
static void ended(struct io_threads *t)
{
    /* Sequentially consistent, as in io_threads_wait(): it sees 0, or this that it waits. */
    if (atomic_fetch_sub_explicit(&t->unfinished, 1, memory_order_seq_cst) ==
            1 &&
        atomic_load_explicit(&t->awaited, memory_order_seq_cst)) {
        futex_wake(&t->bed, &t->unfinished);
    }
}

/* Its requests, one after the other. */
static void make(struct io_thread *thread, struct work *w)
{
    struct io_threads *t = thread->in;

    while (w) {
        struct completion_node *node;
        struct call_times times;

        atomic_store_explicit(&w->state, WORK_RUNNING, memory_order_relaxed);
        node = w->ops->run(w, &times);
        w = request_queue_end_call(&t->queue, &thread->worker, &times, true);
        aio_core_post(t->core, node);
        ended(t);
    }
}

static void *run(void *arg)
{
    struct io_thread *thread = arg;
    struct io_threads *t = thread->in;
    struct work *w;

    os_thread_set_name("tpool-files");
    cpu_pair_inherit(
        &t->core->cpus,
        atomic_load_explicit(&t->core->owner_tid, memory_order_relaxed));
    while ((w = request_queue_get(&t->queue, &thread->worker))) {
        answer(t, request_queue_begin_call(&t->queue, &thread->worker));
        make(thread, w);
    }
    aio_core_leave(t->core);
    pthread_mutex_lock(&t->lock);
    thread->left = true;
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

int io_threads_push(struct io_threads *t, struct work *w, uint32_t max)
{
    if (!request_queue_reserve(&t->queue, 1, max)) {
        return -EBUSY;
    }
    w->queued = true;
    atomic_fetch_add_explicit(&t->unfinished, 1, memory_order_relaxed);
    /* Alone in the queue, where there is no thread: none leaves it but empty. */
    if (!answer(t, request_queue_push(&t->queue, w, w)) &&
        request_queue_cancel_deserted(&t->queue) == w) {
        atomic_fetch_sub_explicit(&t->unfinished, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    return 0;
}

bool io_threads_cancel(struct io_threads *t, struct work *w)
{
    bool cancelled = request_queue_cancel(&t->queue, w);

    if (cancelled) {
        ended(t);
    }
    return cancelled;
}

int io_threads_wait(struct io_threads *t)
{
    uint32_t n;
    bool waited = false;
    int ret = 0;

    atomic_fetch_add_explicit(&t->awaited, 1, memory_order_seq_cst);
    while (ret == 0 &&
           (n = atomic_load_explicit(&t->unfinished, memory_order_seq_cst))) {
        waited = true;
        ret = futex_wait(&t->bed, &t->unfinished, n, -1);
    }
    atomic_fetch_sub_explicit(&t->awaited, 1, memory_order_relaxed);
    return ret < 0 ? ret : waited;
}

/* Takes one out of those that are started. */
static struct io_thread *take(struct io_threads *t)
{
    struct io_thread *thread;

    pthread_mutex_lock(&t->lock);
    thread = t->threads;
    if (thread) {
        t->threads = thread->next;
    }
    pthread_mutex_unlock(&t->lock);
    return thread;
}

void io_threads_close(struct io_threads *t)
{
    struct io_thread *thread;

    request_queue_shutdown(&t->queue);
    while ((thread = take(t))) {
        join(thread); /* which may have started another before */
    }
    io_threads_unref(t);
}
