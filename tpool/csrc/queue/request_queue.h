/* SPDX-License-Identifier: MIT
 *
 * Request queue: FIFO from any submitter to the workers of one pool.
 *
 * Submitters push without a lock.  Workers take under a short lock; of those
 * that find nothing, the one that ran a call last polls for a bounded time and the
 * others park.  It is the first to be woken, then the last of those to park.
 *
 * A worker is a *looker* while it is bound to look at the queue again before it
 * sleeps or calls anything: it polls, stands by, has just been woken, is being
 * started, or has taken a request and not begun the call yet.
 *
 *   submitter                              worker that stops being a looker
 *   ---------                              --------------------------------
 *   P: push                                A: lookers - 1
 *   L: load lookers                        K: look at the queue
 *      not 0: done, no system call            nothing: park, or begin the call
 *      0: wake a parked worker, or start      something, and no looker left:
 *         one, which is a looker at once         take it, or do as after L
 *
 * Invariant Q: while a request is queued there is a looker, or every worker
 * that the pool may have is in a call (each looks when the call ends).
 *   bad case: K missed the node and L saw the looker.  P, L, A, K are seq_cst
 *   (one order S): K before P in S, so A before P before L, and L saw A or what
 *   came after it.  What others moved from the incoming list to the FIFO between
 *   is found under the lock, which K holds.
 * Weaken any of the four and S need not exist, as in notify.h.
 *
 * Short calls are not fanned out: a looker that finds a request while others
 * run calls that last less than SHORT_CALL_NS stands by, and takes the request
 * only if STANDBY_NS later no worker has taken one.  So a stream of no-ops stays
 * with one warm worker.  While work flows past the looker it looks ever less
 * often, and a call that blocks holds up nobody for more than two looks.  It
 * stands by among the parked, to be a looker no more when the last other one parks.  So does
 * one that was woken for nothing while work flows: else the next push would wake it again.
 * The same for all calls, however long, where the owner has measured that they cost
 * less one after the other (cpu_pair.abreast is 1): a looker takes one beside the newest call
 * only where who runs that has slept for half of the time between two looks, or has
 * computed for SERIAL_MAX_NS.  One stands by, the others park beside it.  And where it has
 * measured that more are made by a few than by many (it is a few): a looker takes one
 * beside those only if none has been taken since it looked last.
 */
#ifndef TPOOL_QUEUE_REQUEST_QUEUE_H
#define TPOOL_QUEUE_REQUEST_QUEUE_H

#include "base/cpu.h"
#include "base/parker.h"
#include "queue/histogram.h"
#include "queue/work.h"
#include "tune/poll_window.h"
#include <pthread.h>

/* A call this short is done sooner than another worker could be woken. */
#define SHORT_CALL_NS 10000
/* About the cost of a wake-up: what a helper may come too late. */
#define STANDBY_NS 50000
/* Each look takes a CPU from somebody at work: it must stay rare. */
#define STANDBY_MAX_NS 400000

/* The same where as many run as pays: those that sleep hold up the next so long. */
#define FULL_STANDBY_NS 100000
/* Who computes for longer may do so without the GIL: the next call need not wait. */
#define SERIAL_MAX_NS (2 * NS_PER_MS)

struct queue_worker {
    struct parker parker;
    /* The waker, before the wake: when the work arrived. */
    _Atomic int64_t wake_ns;
    /* Its thread only. */
    int64_t run_ns;      /* its last call took */
    int64_t wait_ns;     /* its last wait began; -1: there was none */
    int64_t poll_end_ns; /* of its last poll phase */
    /* Protected by lock. */
    struct queue_worker *newer, *older; /* of those parked */
    int64_t parked_ns;                  /* since when, if parked */
    bool parked;                        /* or stands by */
    bool looking;                       /* counted in lookers */
    int64_t standby_ns; /* stands by, for so long between looks; 0: does not */
    bool polled;        /* has had its poll phase in this wait */
    int standby_empty;  /* looks in a row that found the queue empty */
    uint64_t seen_pops; /* queue.pops at the last look while standing by */
    struct queue_worker *seen_runner; /* then; may be gone */
    int64_t seen_ns, seen_cpu_ns;     /* and its CPU time */
    int64_t since_ns;                 /* pops are that many */
    clockid_t cpu_clock;              /* of its thread, */
    bool clocked;                     /* if this is set */
};

/* Who will see to what was pushed. */
enum queue_need {
    QUEUE_SEEN,  /* a looker, or nobody is free */
    QUEUE_WOKEN, /* a parked worker: woken */
    QUEUE_SPAWN, /* a new worker, already counted: the caller starts it */
};

struct call_times {
    int64_t wait_ns; /* from submit to start */
    int64_t run_ns;  /* -1: it was cancelled, and did not run */
};

/*
 * What a queue has now, and has counted, with the names that PoolStats has: completed are
 * calls that have ended, wait_ns and run_ns are of these, all together; poll_ns is the
 * window now, wake_ns what it costs to wake a worker.
 */
/* clang-format off */
#define QUEUE_COUNTERS(X) \
    X(threads) X(idle) X(running) X(submitted) X(queued) X(completed) \
    X(wait_ns) X(run_ns) X(wakeups) \
    X(polls_hit) X(polls_missed) X(polls_skipped) X(polls_refused) \
    X(polled_ns) X(missed_ns) X(parked_ns) X(poll_ns) X(wake_ns)
/* clang-format on */

struct queue_stats {
#define QUEUE_COUNTER(name) uint64_t name;
    QUEUE_COUNTERS(QUEUE_COUNTER)
#undef QUEUE_COUNTER
    /* Of those completed. */
    struct histogram waits, runs;
};

struct request_queue {
    /* Any thread; see above. */
    struct completion_list incoming;
    /* Submitters: requests reserved, ever. */
    _Alignas(CACHE_LINE) _Atomic uint64_t reserved;
    /* Written under the lock, read by any thread. */
    _Alignas(CACHE_LINE) _Atomic uint32_t lookers;
    _Atomic uint64_t taken; /* requests taken or cancelled, ever */
    atomic_bool backlog;    /* the FIFO is not empty */
    atomic_bool interrupt;  /* ends a poll phase: shutdown, limits, params */
    /* Immutable after init. */
    struct cpu_pair *cpus;
    int64_t idle_timeout_ns; /* -1: an idle worker stays */
    bool
        bounded; /* by cpu_pair.abreast: what it has are the calls that are measured */

    /* Protected by lock. */
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct work *head, *tail;
    struct queue_worker *newest; /* parked */
    struct queue_worker *sentry; /* the last that has run a call */
    struct queue_worker
        *runner;      /* the last that has taken one; NULL: it left */
    bool polling;     /* somebody busy-waits */
    atomic_bool warm; /* a call has ended; written under the lock, a hint */
    bool stale;       /* by parameters that hold no more */
    bool shutdown;
    uint64_t pops;
    uint32_t threads, min_threads, max_threads;
    uint32_t active; /* workers in a call, or about to begin one */
    uint32_t asked;  /* workers asked for, ever; may wrap */
    /* How long calls take, a moving average; written under the lock. */
    _Atomic int64_t call_ns;
    struct poll_params params;
    struct poll_window poll;
    int64_t wake_ns;     /* what it costs to wake a worker */
    uint32_t unmeasured; /* long poll phases since one was woken */
    int64_t polled_ns;   /* how long the last poll phase was */
    struct queue_stats stats;
};

/* cpus outlives the queue.  Returns 0 or -errno. */
int request_queue_init(struct request_queue *q, struct cpu_pair *cpus,
                       const struct poll_params *params,
                       int64_t idle_timeout_ns);

/* No worker is left; nothing is queued. */
void request_queue_cleanup(struct request_queue *q);

/* Any thread.  Applied at once, to running workers too. */
enum queue_need request_queue_set_limits(struct request_queue *q,
                                         uint32_t min_threads,
                                         uint32_t max_threads);
void request_queue_set_params(struct request_queue *q,
                              const struct poll_params *params);

/* Any thread.  Adds one worker, to reach min_threads; false: enough are there. */
bool request_queue_grow(struct request_queue *q);

#define QUEUE_UNBOUNDED UINT32_MAX

/* Any thread.  How many are queued, or about to be. */
uint64_t request_queue_count(struct request_queue *q);

/* Any thread, a hint.  How long calls take. */
static inline int64_t request_queue_call_ns(struct request_queue *q)
{
    return atomic_load_explicit(&q->call_ns, memory_order_relaxed);
}

/*
 * Any thread.  Counts n requests as queued; false, and nothing counted, where
 * more than max would be.
 */
bool request_queue_reserve(struct request_queue *q, uint32_t n, uint32_t max);

/* The same for as many of n as there is room for; returns how many. */
uint32_t request_queue_reserve_some(struct request_queue *q, uint32_t n,
                                    uint32_t max);

/*
 * Any thread, n of them reserved.  newest leads back in time to oldest by .link.next,
 * each marked queued.
 */
enum queue_need request_queue_push(struct request_queue *q, struct work *newest,
                                   struct work *oldest);

/*
 * Any thread.  Finds one more for what is queued, whoever looks already: the
 * caller waits inside the start of the worker that does.
 */
enum queue_need request_queue_find_another(struct request_queue *q);

/*
 * Any thread, after a push.  While no call has ended yet nothing is known of how long
 * they take: finds one for each that is queued, whoever looks already.
 */
enum queue_need request_queue_fan_out(struct request_queue *q);

/*
 * Any thread.  The worker that was asked for did not start.  QUEUE_SPAWN: requests
 * that came after it was asked for rely on it, and deserve one of their own.  *left is
 * how many workers there are without that.
 */
enum queue_need request_queue_spawn_failed(struct request_queue *q,
                                           uint32_t *left);

/*
 * Any thread.  Where no worker is left nor asked for: the oldest request that the
 * last one was asked for, as if cancelled.  Else NULL.
 */
struct work *request_queue_cancel_deserted(struct request_queue *q);

/* Any thread.  Takes it out of the queue; false: it is in no queue (any more). */
bool request_queue_cancel(struct request_queue *q, struct work *work);

/*
 * Any thread.  The oldest queued request, as if cancelled, or NULL.  spare: of those that
 * no looker is about to take.
 */
struct work *request_queue_cancel_oldest(struct request_queue *q, bool spare);

/*
 * Any thread.  Workers leave when the queue is empty; for what is in it they are
 * still asked for.
 */
void request_queue_shutdown(struct request_queue *q);

/* Worker, before its first look; it was counted when it was asked for. */
void request_queue_worker_init(struct queue_worker *w);
void request_queue_worker_cleanup(struct queue_worker *w);

/*
 * Worker, GIL released, a looker.  Waits for a request; NULL: the worker must
 * leave, it is no longer counted.
 */
struct work *request_queue_get(struct request_queue *q, struct queue_worker *w);

/*
 * Worker that got a request, before the call: stops being a looker.  The answer
 * is as for a push.
 */
enum queue_need request_queue_begin_call(struct request_queue *q,
                                         struct queue_worker *w);

/*
 * Worker, its call has ended; before the result is delivered, or the next
 * submitter would wake another worker for nothing.  more: returns the next
 * request, if one is queued.  Else, or if none is, the worker is a looker again.
 */
struct work *request_queue_end_call(struct request_queue *q,
                                    struct queue_worker *w,
                                    const struct call_times *times, bool more);

/* Any thread. */
void request_queue_get_stats(struct request_queue *q, struct queue_stats *out);

#endif
