/* SPDX-License-Identifier: MIT
 *
 * For stress_turn.c: the host of its context, and all that comes to it: work, an fd, a
 * timer and a doorbell, and the threads that send it.
 */
#ifndef TPOOL_TESTS_TURN_THINGS_H
#define TPOOL_TESTS_TURN_THINGS_H

#include "aio/context.h"
#include "source/bare_notify.h"
#include "source/fd_polls.h"
#include "source/calls.h"
#include "stress.h"

#include <unistd.h>

#define POSTERS    3
#define NESTED_MAX 3
/* A turn that waits for longer has missed something. */
#define LOST_NS (5 * NS_PER_SECOND)

/* What a poster sends: two works, the next two when both have come back. */
struct item {
    struct work work[2];
    uint64_t number; /* plain on purpose: the list publishes it */
    _Atomic int back;
    uint64_t seen, dropped; /* of both */
};

struct reader {
    struct fd_handler base;
    int write_fd;
    uint64_t seen;
    atomic_bool free;
};

/*
 * A source of its own: a word that others set.  Between begin() and end() they wake
 * nobody, nor ever where it is silent.
 */
struct doorbell {
    struct aio_source source;
    _Atomic uint32_t word, looked_at;
    uint64_t seen;
};

static struct aio_context ctx;
static struct calls_source calls;
static struct aio_source fds;
static struct fd_polls fd_polls;
static struct bare_notify bare;
static struct event_trial events;
static struct aio_source napper;
static struct doorbell doorbell;
static struct trace trace; /* off */
static const struct event_notifier no_pipe = {.rfd = -1, .wfd = -1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the language */
static pthread_mutex_t acquired = PTHREAD_MUTEX_INITIALIZER; /* the context */
static struct item items[POSTERS];
static struct reader reader;
static struct timer ticker;
static uint64_t rounds = 3000, ticks, raised, nested, paid;
static atomic_bool closing;
static struct rng owner_rng;

/* How a context is used. */
struct way {
    int64_t poll_max_ns;
    int posters; /* one alone: nobody else's wake-up hides a lost one */
    bool fds, timers;
    bool interleaved; /* it is an event loop's */
    bool doorbell;
    bool silent; /* that is polled for, for as long as it takes */
    bool debts;  /* it comes to owe something in the middle of each wait */
    bool naps;  /* it sleeps, and polls then; others change its fds meanwhile */
    bool close; /* while the posters go on: what they deliver then is dropped */
};

static const struct way *way;
/* The host: a lock that is taken by others too, and signal handlers that raise. */

static void leave(struct aio_context *c, bool blocks)
{
    (void)c;
    if (blocks) {
        pthread_mutex_unlock(&acquired);
    }
    pthread_mutex_unlock(&lock);
}

static void enter(struct aio_context *c, bool blocked)
{
    (void)c;
    if (blocked) {
        pthread_mutex_lock(&acquired);
    }
    pthread_mutex_lock(&lock);
}

static void nest(bool foreign);

static int guard(struct aio_context *c)
{
    (void)c;
    nest(true); /* handlers of signals run here */
    return 1;
}

static void unguard(struct aio_context *c)
{
    (void)c;
}

static int signals(struct aio_context *c)
{
    (void)c;
    /* Not where that would end a wait for what wakes nobody. */
    if (!way->silent && rng_below(&owner_rng, 64) == 0) {
        raised++;
        return AIO_RAISED;
    }
    return 0;
}

static const struct aio_host host = {
    .exclusive = true,
    .leave = leave,
    .enter = enter,
    .guard = guard,
    .unguard = unguard,
    .signals = signals,
    .pass_on = unguard,
};

static uint64_t until_ticks;

/* Whether nothing is on its way any more. */
static bool is_done(void)
{
    bool done = (!way->fds || reader.seen >= rounds) &&
                (!way->doorbell || doorbell.seen >= rounds) &&
                (!way->debts || paid >= rounds / 8) &&
                (!way->timers || ticks >= until_ticks);

    for (int i = 0; i < way->posters; i++) {
        done &= items[i].seen >= 2 * rounds;
    }
    return done;
}

static struct item *item_of(struct work *w)
{
    for (int i = 0; i < POSTERS; i++) {
        if (w == &items[i].work[0] || w == &items[i].work[1]) {
            return &items[i];
        }
    }
    abort();
}

/* In the order in which its poster has posted them. */
static void check_order(struct item *item, struct work *w)
{
    uint64_t n = item->seen + item->dropped;

    assert(w == &item->work[n % 2] && item->number == n / 2);
}

static void give_back(struct item *item)
{
    atomic_fetch_add_explicit(&item->back, 1, memory_order_release);
}

static int dispatch_item(struct work *w, bool *progress)
{
    struct item *item = item_of(w);

    *progress = true;
    check_order(item, w);
    item->seen++;
    ctx.core->done++; /* as if it were a call */
    give_back(item);
    nest(true);
    return 0;
}

static void drop_item(struct work *w)
{
    struct item *item = item_of(w);

    check_order(item, w);
    item->dropped++;
    give_back(item);
}

static const struct work_ops item_ops = {
    .dispatch = dispatch_item,
    .drop = drop_item,
};
static const struct work_ops post_ops = {
    .dispatch = dispatch_item,
    .drop = drop_item,
    .is_post = true,
};

static int read_fd(struct fd_handler *h)
{
    char byte;

    assert(read(h->fd, &byte, 1) == 1);
    reader.seen++;
    atomic_store_explicit(&reader.free, true, memory_order_release);
    nest(true);
    return 0;
}

static int no_event(struct fd_handler *h)
{
    assert(!h && "not asked for");
    return 0;
}

static void free_nothing(struct fd_handler *h)
{
    h->refs = -1;
}

static const struct fd_handler_ops reader_ops = {
    .read = read_fd,
    .write = no_event,
    .free = free_nothing,
};

static int plan_doorbell(struct aio_source *s, struct aio_wait *w,
                         struct wait_plan *out)
{
    (void)s;
    (void)w;
    if (!is_done()) {
        int64_t window_ns = way->silent ? LOST_NS : 5000;

        *out = (struct wait_plan){.choice = WAIT_POLL, .window_ns = window_ns};
    }
    return 0;
}

/* Sequentially consistent: who rings sees this, or end() is followed by a look. */
static int begin_doorbell(struct aio_source *s, struct aio_wait *w)
{
    (void)w;
    atomic_store(&container_of(s, struct doorbell, source)->looked_at, 1);
    return 0;
}

static int end_doorbell(struct aio_source *s, struct aio_wait *w)
{
    struct doorbell *d = container_of(s, struct doorbell, source);

    (void)w;
    /* Nobody looks, and nobody is told: now and then until it has been rung. */
    for (int i = rng_below(&owner_rng, 8) ? 1 : 1000;
         i && !atomic_load_explicit(&d->word, memory_order_relaxed); i--) {
        random_delay(&owner_rng);
    }
    atomic_store(&d->looked_at, 0);
    return 0;
}

static int answer_doorbell(struct aio_source *s, struct aio_wait *w,
                           bool *progress)
{
    struct doorbell *d = container_of(s, struct doorbell, source);

    (void)w;
    if (atomic_exchange_explicit(&d->word, 0, memory_order_acq_rel)) {
        d->seen++;
        *progress = true;
        nest(true);
    }
    return 0;
}

static const struct aio_source_ops doorbell_ops = {
    .plan = plan_doorbell,
    .begin = begin_doorbell,
    .end = end_doorbell,
    .dispatch = answer_doorbell,
};

static void lost(int fd, int err)
{
    fprintf(stderr, "lost fd %d: %d\n", fd, err);
    abort();
}

static int tick(struct timer *t)
{
    int ret = timers_mod(&ctx.timers, t,
                         clock_now_ns() + rng_below(&owner_rng, 200000), false);

    ticks++;
    nest(true);
    return ret < 0 ? AIO_RAISED : 0;
}

static void drop_ticker(struct timer *t)
{
    (void)t;
}

static const struct timer_ops ticker_ops = {.fire = tick, .drop = drop_ticker};

/* What is told of the owner's work never grows less. */
static bool still_works(uint64_t *worked_ns)
{
    uint64_t before_ns = *worked_ns;

    *worked_ns = aio_worked_ns(&ctx);
    assert(*worked_ns >= before_ns);
    return true;
}

static void *post_often(void *arg)
{
    struct item *item = arg;
    struct rng r;
    uint64_t i, worked_ns = 0;

    rng_init(&r, (uint64_t)(item - items));
    for (i = 0;
         !atomic_load_explicit(&closing, memory_order_relaxed) || i < rounds;
         i++) {
        WAIT_UNTIL(atomic_load_explicit(&item->back, memory_order_acquire) ==
                       2 ||
                   !still_works(&worked_ns));
        atomic_store_explicit(&item->back, 0, memory_order_relaxed);
        item->number = i;
        for (int k = 0; k < 2; k++) {
            random_delay(&r);
            if (rng_below(&r, 2)) {
                pthread_mutex_lock(&lock); /* as who computes does */
                pthread_mutex_unlock(&lock);
            }
            aio_core_post(ctx.core, &item->work[k].link);
        }
        if (rng_below(&r, 8) == 0) {
            notify_bare(&ctx.core->notify);
        }
        pthread_mutex_lock(&lock);
        aio_core_drop_undelivered(ctx.core);
        pthread_mutex_unlock(&lock);
    }
    aio_core_leave(ctx.core);
    return (void *)(uintptr_t)i;
}

static void *write_often(void *arg)
{
    struct rng r;

    rng_init(&r, POSTERS);
    for (uint64_t i = 0; i < rounds; i++) {
        WAIT_UNTIL(atomic_load_explicit(&reader.free, memory_order_acquire));
        atomic_store_explicit(&reader.free, false, memory_order_relaxed);
        random_delay(&r);
        assert(write(reader.write_fd, "", 1) == 1);
    }
    return arg;
}

static int plan_nap(struct aio_source *s, struct aio_wait *w,
                    struct wait_plan *out)
{
    (void)s;
    (void)w;
    *out = (struct wait_plan){
        .choice = WAIT_NAP, .window_ns = 20000, .nap_ns = 5000};
    return 0;
}

static const struct aio_source_ops nap_ops = {.plan = plan_nap};

/* Registers an fd, and removes it, while the owner sleeps or polls after that. */
static void *meddle_often(void *arg)
{
    static struct fd_handler handler;
    int ends[2];
    struct rng r;

    assert(pipe(ends) == 0);
    rng_init(&r, POSTERS + 2);
    for (uint64_t i = 0; i < rounds; i++) {
        random_delay(&r);
        pthread_mutex_lock(&acquired);
        handler = (struct fd_handler){
            .ops = &reader_ops, .fd = ends[0], .events = FDMON_READ};
        assert(fds_set(&ctx.fds, &ctx.fdmon, &handler, false) == 0);
        pthread_mutex_unlock(&acquired);
        random_delay(&r);
        pthread_mutex_lock(&acquired);
        fds_remove(&ctx.fds, &ctx.fdmon, ends[0]);
        pthread_mutex_unlock(&acquired);
    }
    close(ends[0]);
    close(ends[1]);
    return arg;
}

static void *ring_often(void *arg)
{
    struct rng r;

    rng_init(&r, POSTERS + 1);
    for (uint64_t i = 0; i < rounds; i++) {
        WAIT_UNTIL(!atomic_load_explicit(&doorbell.word, memory_order_acquire));
        random_delay(&r);
        atomic_store(&doorbell.word, 1);
        if (!way->silent && !atomic_load(&doorbell.looked_at)) {
            notify_bare(&ctx.core->notify);
        }
    }
    return arg;
}

#endif
