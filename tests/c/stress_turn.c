/* SPDX-License-Identifier: MIT
 *
 * Whole turns of a context, whose host is in C: work, fds, timers and bare
 * notifications of other threads in lock-step, nested turns, foreign waits, errors that
 * the host raises, and a close while others still post.
 */
#include "source/bare_notify.h"
#include "source/calls.h"
#include "source/fds.h"
#include "stress.h"
#include "turn/foreign.h"
#include "turn/turn.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
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

/* A source of its own: a word that others set, and wake nobody. */
struct doorbell {
    struct aio_source source;
    _Atomic uint32_t word;
    uint64_t seen;
};

static struct aio_context ctx;
static struct aio_source calls, fds;
static struct bare_notify bare;
static struct doorbell doorbell;
static struct trace trace; /* off */
static const struct event_notifier no_pipe = {.rfd = -1, .wfd = -1};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the language */
static struct item items[POSTERS];
static struct reader reader;
static struct timer ticker;
static uint64_t rounds = 3000, ticks, raised, nested;
static atomic_bool closing;
static struct rng owner_rng;

/* How a context is used. */
struct way {
    int64_t poll_max_ns;
    int posters; /* one alone: nobody else's wake-up hides a lost one */
    bool fds, timers;
    bool interleaved; /* it is an event loop's */
    bool doorbell;    /* polled for, for as long as it takes */
    bool close; /* while the posters go on: what they deliver then is dropped */
};

static const struct way *way;
/* The host: a lock that is taken by others too, and signal handlers that raise. */

static void leave(struct aio_context *c, bool blocks)
{
    (void)c;
    (void)blocks;
    pthread_mutex_unlock(&lock);
}

static void enter(struct aio_context *c, bool blocked)
{
    (void)c;
    (void)blocked;
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
    if (!way->doorbell && rng_below(&owner_rng, 64) == 0) {
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
                (!way->timers || ticks >= until_ticks);

    for (int i = 0; i < way->posters; i++) {
        done &= items[i].seen >= 2 * rounds;
    }
    return done;
}

/* One turn; foreign: it may be one of a foreign loop, or of a loop above. */
static void turn(bool foreign)
{
    bool progress = false, ready;
    int64_t timeout_ns;
    int ret;

    ctx.poll_depth++;
    ctx.polls++;
    if (foreign && rng_below(&owner_rng, 8) == 0) {
        ret = aio_prepare(&ctx, &timeout_ns);
        nest(false); /* a check() here would end the wait of this one */
        if (ret == 0 && timeout_ns != 0 && !is_done()) {
            struct pollfd fd = {fdmon_fileno(&ctx.fdmon), POLLIN, 0};
            int64_t begin_ns = clock_now_ns();

            pthread_mutex_unlock(&lock);
            poll(&fd, 1,
                 timeout_ns < 0 ? 5000 : (int)(timeout_ns / 1000000) + 1);
            pthread_mutex_lock(&lock);
            assert(clock_now_ns() - begin_ns < LOST_NS);
        }
        assert(ret == 0 || ret == AIO_RAISED);
        ret = aio_check(&ctx, &ready);
        assert(ret == 0);
        ret = aio_turn(&ctx, 0, AIO_TURN, &progress);
    } else {
        int64_t begin_ns = clock_now_ns();

        ret = aio_turn(
            &ctx, is_done() || !rng_below(&owner_rng, 4) ? 0 : LOST_NS,
            foreign && rng_below(&owner_rng, 2) ? AIO_SELECT : AIO_TURN,
            &progress);
        assert(clock_now_ns() - begin_ns < LOST_NS);
    }
    assert(ret == 0 || ret == AIO_RAISED);
    if (ctx.behind) {
        ctx.behind = false;
        ret = aio_dispatch_work(&ctx, AIO_REST, &progress);
        assert(ret == 0);
    }
    ctx.poll_depth--;
}

/* What is called back may turn the context. */
static void nest(bool foreign)
{
    if (ctx.poll_depth < NESTED_MAX && rng_below(&owner_rng, 16) == 0) {
        nested++;
        turn(foreign);
    }
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

static int plan_doorbell(struct aio_source *s, struct aio_context *c,
                         struct aio_wait *w, struct wait_plan *out)
{
    (void)s;
    (void)c;
    (void)w;
    if (!is_done()) {
        *out = (struct wait_plan){WAIT_POLL, LOST_NS, 0};
    }
    return 0;
}

static int answer_doorbell(struct aio_source *s, struct aio_context *c,
                           struct aio_wait *w, bool *progress)
{
    struct doorbell *d = container_of(s, struct doorbell, source);

    (void)c;
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

static void *post_often(void *arg)
{
    struct item *item = arg;
    struct rng r;
    uint64_t i;

    rng_init(&r, (uint64_t)(item - items));
    for (i = 0;
         !atomic_load_explicit(&closing, memory_order_relaxed) || i < rounds;
         i++) {
        WAIT_UNTIL(atomic_load_explicit(&item->back, memory_order_acquire) ==
                   2);
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

static void *ring_often(void *arg)
{
    struct rng r;

    rng_init(&r, POSTERS + 1);
    for (uint64_t i = 0; i < rounds; i++) {
        WAIT_UNTIL(!atomic_load_explicit(&doorbell.word, memory_order_acquire));
        random_delay(&r);
        atomic_store_explicit(&doorbell.word, 1, memory_order_release);
    }
    return arg;
}

static void add_sources(void)
{
    memset(&doorbell, 0, sizeof(doorbell));
    fds_init(&fds);
    aio_source_add(&ctx, &fds);
    calls_init(&calls);
    aio_source_add(&ctx, &calls);
    if (way->interleaved) {
        ctx.interleaved = true;
        fds.look_ns = FD_LOOK_NS;
        bare_notify_init(&bare);
        aio_source_add(&ctx, &bare.source);
    }
    if (way->doorbell) {
        doorbell.source.ops = &doorbell_ops;
        doorbell.source.peek = (struct aio_peek){&doorbell.word, UINT32_MAX, 0};
        aio_source_add(&ctx, &doorbell.source);
    }
}

static void open_context(int64_t poll_max_ns, bool ticks_too)
{
    int ends[2];

    memset(&ctx, 0, sizeof(ctx));
    ctx.host = &host;
    ctx.signal_pipe = &no_pipe;
    ctx.params = (struct poll_params){.max_ns = poll_max_ns, .hybrid = true};
    sleep_costs_init(&ctx.sleep);
    cpu_parting_init(&ctx.parting);
    assert(aio_core_new(&ctx.core, &trace) == 0 && fdmon_init(&ctx.fdmon) == 0);
    ctx.fds.own[0] = &ctx.core->notify.notifier;
    ctx.fds.lost = lost;
    assert(fdmon_add_own(&ctx.fdmon, ctx.fds.own[0]) == 0);
    add_sources();
    /* As if calls were in flight, or nothing is polled for. */
    atomic_store_explicit(&ctx.core->in_flight, 1, memory_order_relaxed);
    assert(pipe2(ends, O_NONBLOCK) == 0);
    reader = (struct reader){
        .base = {.ops = &reader_ops, .fd = ends[0], .events = FDMON_READ},
        .write_fd = ends[1]};
    atomic_init(&reader.free, true);
    if (way->fds) { /* it is blind: nothing is polled for, but by an event loop */
        assert(fds_set(&ctx.fds, &ctx.fdmon, &reader.base, false) == 0);
    }
    timer_init(&ticker, &ticker_ops);
    if (ticks_too) {
        assert(timers_mod(&ctx.timers, &ticker, clock_now_ns(), false) == 1);
    }
}

static void close_context(void)
{
    struct completion_node *lists[] = {ctx.batch_head, ctx.idle_head};

    fdmon_cleanup(&ctx.fdmon);
    ctx.closed = true;
    aio_core_close(ctx.core);
    fds_cleanup(&ctx.fds);
    assert(!way->fds || reader.base.refs == -1);
    timers_cleanup(&ctx.timers);
    for (int i = 0; i < 2; i++) {
        for (struct completion_node *n = lists[i], *next; n; n = next) {
            next = n->next;
            work_of(n)->ops->drop(work_of(n));
        }
    }
    aio_core_detach(ctx.core);
    close(reader.base.fd);
    close(reader.write_fd);
}

static void use(void)
{
    pthread_t posters[POSTERS], writer = 0, ringer = 0;

    until_ticks = ticks + rounds / 4;
    open_context(way->poll_max_ns, way->timers);
    atomic_store_explicit(&closing, !way->close, memory_order_relaxed);
    for (int i = 0; i < way->posters; i++) {
        memset(&items[i], 0, sizeof(items[i]));
        /* What follows one that is posted is behind it. */
        work_init(&items[i].work[0], i % 2 ? &item_ops : &post_ops);
        work_init(&items[i].work[1], &item_ops);
        atomic_init(&items[i].back, 2);
        aio_core_enter(ctx.core);
        posters[i] = thread_start(post_often, &items[i]);
    }
    if (way->fds) {
        writer = thread_start(write_often, NULL);
    }
    if (way->doorbell) {
        ringer = thread_start(ring_often, NULL);
    }
    pthread_mutex_lock(&lock);
    while (!is_done()) {
        turn(true);
    }
    if (way->close) {
        close_context();
        atomic_store_explicit(&closing, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    if (way->fds) {
        thread_join(writer);
    }
    if (way->doorbell) {
        thread_join(ringer);
    }
    for (int i = 0; i < way->posters; i++) {
        void *posted;

        assert(pthread_join(posters[i], &posted) == 0);
        assert(items[i].seen + items[i].dropped == 2 * (uintptr_t)posted);
    }
    if (!way->close) {
        close_context();
    }
    aio_core_unref(ctx.core);
}

int main(int argc, char **argv)
{
    static const struct way ways[] = {
        {0, .timers = true},
        {0, .fds = true},
        {0, .posters = 1},
        {100000, .posters = 1},
        {0, .posters = POSTERS, .fds = true, .timers = true},
        {100000, .posters = POSTERS, .fds = true, .timers = true},
        {100000, .posters = POSTERS, .fds = true, .close = true},
        {100000, .posters = 1, .fds = true, .interleaved = true},
        {100000, .doorbell = true},
    };

    rounds = count_arg(argc, argv, rounds);
    rng_init(&owner_rng, 100 + seed_arg(argc, argv));
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        way = &ways[i];
        if (!way->doorbell || cpu_usable() > 1) {
            use(); /* nobody polls for a doorbell where there is one CPU */
        }
    }
    assert(ticks && raised && nested);
    printf("turn: %llu ticks, %llu nested turns, %llu raised\n",
           (unsigned long long)ticks, (unsigned long long)nested,
           (unsigned long long)raised);
    return 0;
}
