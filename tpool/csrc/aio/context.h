/* SPDX-License-Identifier: MIT
 *
 * A context as its owner sees it, and what a turn of it asks of the language that it
 * serves.  Context acquired for all of it, but where it says otherwise.
 */
#ifndef TPOOL_AIO_CONTEXT_H
#define TPOOL_AIO_CONTEXT_H

#include "aio/core.h"
#include "aio/fd_table.h"
#include "aio/source.h"
#include "aio/timer_heap.h"

/*
 * Between two looks at the fds of an interleaved context while it polls for something
 * else: a look costs about 0.3 us, and a socket waits no longer than this.
 */
#define FD_LOOK_NS 10000

/* Owner.  Those that return an int: 0, or AIO_RAISED. */
struct aio_host {
    bool exclusive; /* one thread at a time, as the GIL has it */
    /* Others run; blocks: in the context, too, which is let go of as well. */
    void (*leave)(struct aio_context *c, bool blocks);
    void (*enter)(struct aio_context *c, bool blocked);
    /* From here to unguard() a signal ends a block; 1: it does, 0: none can come. */
    int (*guard)(struct aio_context *c);
    void (*unguard)(struct aio_context *c);
    /* The handlers of signals that are due run. */
    int (*signals)(struct aio_context *c);
    /* The pipe that signals are written to is readable. */
    void (*pass_on)(struct aio_context *c);
};

/* What a context counts, with the names that AioStats has; wake_ns is no sum. */
/* clang-format off */
#define AIO_COUNTERS(X) \
    X(turns) X(dispatched) \
    X(polls_hit) X(polls_missed) X(polls_refused) X(polls_skipped) X(polls_hopeless) \
    X(naps) X(polled_ns) X(missed_ns) X(blocked_ns) X(spurious_wakeups) X(wake_ns) \
    X(trials) X(trials_won) X(polled_call_ns) X(blocked_call_ns) \
    X(fanned_call_ns) X(few_call_ns) X(serial_call_ns) \
    X(polled_event_ns) X(blocked_event_ns)
/* clang-format on */

struct aio_stats {
#define AIO_COUNTER(name) counter64 name;
    AIO_COUNTERS(AIO_COUNTER)
#undef AIO_COUNTER
};

/* One wait of a turn, and what its sources keep of it. */
struct aio_wait {
    /* Which one: aio_context.polls, unless one was nested in it. */
    uint64_t poll;
    int64_t start_ns;    /* of the turn's wait */
    int64_t end_ns;      /* of what was waited last: poll phase or block */
    int64_t deadline_ns; /* -1: none */
    int64_t nap_ns;      /* until then it sleeps, and polls after; 0: none */
    int64_t polled_ns;   /* how long, in the block that is being ended */
    int64_t polled_from_ns;
    bool foreign; /* a foreign loop's */
    bool work;    /* completions are expected: requests are in flight */
    bool arrived; /* work came, whatever became of it */
    int n_events;
    uint64_t removals;     /* of the handler table when events was filled */
    struct wait_plan plan; /* of all sources */
    int64_t look_ns, host_look_ns; /* until the next; 0: nobody looks */
    void *host_state; /* what the source asks that looks with the host */
    int begun;        /* of that, by begin() */
    int n_lookers;
    struct aio_peeks peeks;
    struct aio_source *lookers[AIO_SOURCES_MAX]; /* without the host */
    struct fdmon_event events[FDMON_BATCH];
};

/* How many events are of fds that somebody has registered. */
static inline int aio_wait_user_events(const struct aio_wait *w)
{
    int n = 0;

    for (int i = 0; i < w->n_events; i++) {
        n += w->events[i].gen != 0;
    }
    return n;
}

struct aio_context {
    /* Immutable after init. */
    const struct aio_host *host;
    struct aio_core *core; /* until its end: who posts need not look */
    const void *name;      /* in a trace */
    const struct event_notifier *signal_pipe;
    /* Any thread. */
    atomic_bool closed;
    bool waited; /* the last turn did: others have had the GIL */
    /* Taken from the completion list, not dispatched. */
    struct completion_node *batch_head, *batch_tail;
    struct completion_node *idle_head, *idle_tail; /* for idle time */
    bool behind;    /* the batch waits for the loop above */
    int poll_depth; /* polls inside each other */
    uint64_t polls; /* ever begun */
    struct poll_params params;
    struct aio_source *sources;
    int n_sources;
    /* Some source has peek, begin or end, look_ns, reap. */
    bool words, phases, looks, reaps;
    int64_t
        unwoken_ns; /* it blocks no longer: what it waits for wakes nobody; 0: all does */
    int64_t looked_ns; /* when the fds were looked at last */
    int64_t cpus_ns;   /* when the usable CPUs were counted last */
    int64_t shown_ns;  /* when its fds were seen to be its own */
    struct fdmon fdmon;
    struct fd_table fds;
    struct timer_heap timers;
    /*
     * An event loop's own: its poll phase looks at the fds too, so a handler
     * without io_poll does not turn polling off.
     */
    bool interleaved;
    int64_t told_ns;         /* until then a foreign loop waits; -1: for ever */
    int64_t foreign_wait_ns; /* a foreign loop's wait began so; 0: none did */
    struct cpu_parting parting;
    struct sleep_costs sleep;
    /* The owner writes, any thread reads. */
    struct aio_stats stats;
    /*
     * How long it has waited, ns, twice.  While it waits: less twice the time when that
     * began, and one more.  So one word tells the wait that it is in, too.
     */
    counter64 wait_word;
    int64_t made_ns; /* immutable after init */
    counter64
        told_work_ns; /* any thread: the most that aio_worked_ns() has told */
};

/* Owner, at the begin of a wait; false: it is in one already. */
static inline bool aio_begin_to_wait(struct aio_context *c, int64_t now_ns)
{
    uint64_t word = counter_get(&c->wait_word);

    if (word & 1) {
        return false;
    }
    counter_set(&c->wait_word, word - 2 * (uint64_t)now_ns + 1);
    return true;
}

/* Owner, at its end. */
static inline void aio_end_to_wait(struct aio_context *c, int64_t now_ns)
{
    counter_set(&c->wait_word,
                counter_get(&c->wait_word) + 2 * (uint64_t)now_ns - 1);
}

/*
 * Any thread.  Of the time since it was made, that in which it did not wait.  Never less
 * than was told before: a wait begins at a time that has passed when it is written down.
 */
static inline uint64_t aio_worked_ns(struct aio_context *c)
{
    uint64_t word, worked_ns, told_ns = counter_get(&c->told_work_ns);
    int64_t now_ns;

    do { /* or a wait that began or ended meanwhile would be told wrong */
        word = counter_get(&c->wait_word);
        now_ns = clock_now_ns();
    } while (word != counter_get(&c->wait_word));
    if (word & 1) {
        word += 2 * (uint64_t)now_ns - 1;
    }
    worked_ns = (uint64_t)(now_ns - c->made_ns) - word / 2;
    while (told_ns < worked_ns) {
        if (atomic_compare_exchange_weak_explicit(
                &c->told_work_ns, &told_ns, worked_ns, memory_order_relaxed,
                memory_order_relaxed)) {
            return worked_ns;
        }
    }
    return told_ns;
}

#endif
