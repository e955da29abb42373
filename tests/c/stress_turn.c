/* SPDX-License-Identifier: MIT
 *
 * Whole turns of a context, whose host is in C: work, fds, timers and bare
 * notifications of other threads in lock-step, nested turns, foreign waits, errors that
 * the host raises, and a close while others still post.
 */
#include "turn_things.h"
#include "source/fds.h"
#include "turn/foreign.h"
#include "turn/turn.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>

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

            leave(&ctx, true);
            poll(&fd, 1,
                 timeout_ns < 0 ? 5000 : (int)(timeout_ns / 1000000) + 1);
            enter(&ctx, true);
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

/* A source that owes something, at once or later: no wait is for that. */
static struct aio_source debtor;

static int incur(struct aio_source *s, struct aio_wait *w,
                 struct wait_plan *out)
{
    (void)w;
    (void)out;
    if (rng_below(&owner_rng, 2)) {
        s->owes = true;
    } else {
        s->retry_ns = clock_now_ns() + rng_below(&owner_rng, 100000);
    }
    return 0;
}

static struct completion_node *pay(struct aio_source *s)
{
    if (s->owes || (s->retry_ns && clock_now_ns() >= s->retry_ns)) {
        s->owes = false;
        s->retry_ns = 0;
        paid++;
    }
    return NULL;
}

static void add_sources(void)
{
    memset(&doorbell, 0, sizeof(doorbell));
    fds_init(&fds);
    aio_source_add(&ctx, &fds);
    calls_init(&calls, &ctx);
    if (way->interleaved) {
        ctx.interleaved = true;
        fd_polls_init(&fd_polls, &events, &ctx);
        bare_notify_init(&bare, &events, &ctx);
        event_trial_init(&events, &ctx);
    }
    if (way->debts) {
        static const struct aio_source_ops ops = {.plan = incur, .reap = pay};
        static _Atomic uint32_t word; /* it has one, which tells of nothing */

        debtor = (struct aio_source){.ops = &ops,
                                     .peek = {&word, UINT32_MAX, 0}};
        paid = 0;
        aio_source_add(&ctx, &debtor);
    }
    if (way->naps) {
        napper.ops = &nap_ops;
        aio_source_add(&ctx, &napper);
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
    ctx.fds.lost = lost;
    assert(fdmon_add_own(&ctx.fdmon, &ctx.core->notify.notifier) == 0);
    add_sources();
    /* As if calls were in flight, or nothing is polled for. */
    atomic_store_explicit(&ctx.core->in_flight, !way->naps,
                          memory_order_relaxed);
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

/* The clock was read first; meanwhile somebody asked how long the owner has worked. */
static void begin_to_wait_late(void)
{
    int64_t begin_ns = clock_now_ns();
    uint64_t told_ns;

    WAIT_UNTIL(clock_now_ns() - begin_ns > 1000);
    told_ns = aio_worked_ns(&ctx);
    assert(aio_begin_to_wait(&ctx, begin_ns));
    assert(aio_worked_ns(&ctx) >= told_ns);
    aio_end_to_wait(&ctx, clock_now_ns());
}

static void use(void)
{
    pthread_t posters[POSTERS], writer = 0, ringer = 0, meddler = 0;

    until_ticks = ticks + rounds / 4;
    open_context(way->poll_max_ns, way->timers);
    begin_to_wait_late();
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
    if (way->naps) {
        meddler = thread_start(meddle_often, NULL);
    }
    enter(&ctx, true);
    while (!is_done()) {
        turn(true);
    }
    if (way->close) {
        close_context();
        atomic_store_explicit(&closing, true, memory_order_relaxed);
    }
    leave(&ctx, true);
    if (way->fds) {
        thread_join(writer);
    }
    if (way->doorbell) {
        thread_join(ringer);
    }
    if (way->naps) {
        thread_join(meddler);
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

/*
 * Of calls that come after a pause none is to settle first: another way is theirs.  Nor do
 * loads come and go that have long pauses between them.
 */
static void check_pause(void)
{
    struct call_trial t;
    struct aio_core *core;
    int64_t now_ns = NS_PER_SECOND;

    assert(aio_core_new(&core, &trace) == 0);
    call_trial_init(&t, core, NULL);
    assert(call_trial_look_back(&t, now_ns, 0) == TRIAL_NONE);
    t.trial.stage = TRIAL_SETTLES;
    t.trial.bit = BIT_SERIAL;
    now_ns += 10 * NS_PER_MS;
    atomic_store_explicit(&core->in_flight, 32, memory_order_relaxed);
    atomic_store_explicit(&core->flight_ns, now_ns, memory_order_relaxed);
    assert(call_trial_look_back(&t, now_ns, 0) == TRIAL_NONE);
    assert(t.trial.stage == TRIAL_SETTLES && t.trial.calls_min < 32);
    assert(t.trial.alike_ns == 10 * NS_PER_MS);
    atomic_store_explicit(&core->in_flight, 0, memory_order_relaxed);
    aio_core_unref(core);
}

/* The window of fds after such waits, as they are polled for or slept through. */
static int64_t fd_window_ns(int64_t wait_ns, bool polled)
{
    struct aio_wait w = {.n_events = 1, .arrived = polled};
    struct wait_plan plan;

    w.events[0].gen = 1;
    fd_polls.source.ops->forget(&fd_polls.source);
    fd_polls.vain = 0;
    for (int i = 0; i < 2 * POLL_HISTORY_MIN; i++) {
        plan = (struct wait_plan){.choice = WAIT_QUIET};
        assert(!fd_polls.source.ops->plan(&fd_polls.source, &w, &plan));
        fd_polls.looks = polled ? 2 : 0;
        fd_polls.source.ops->learn(&fd_polls.source, &w, wait_ns);
    }
    assert((plan.choice == WAIT_POLL) == (plan.window_ns > 0));
    return plan.window_ns;
}

/*
 * Whoever is at the other end of a socket is asleep, most often, and has to wake first:
 * that is no part of the bound, nor of what is learned.
 */
static void check_fd_windows(void)
{
    static const struct way loops = {100000, .fds = true, .interleaved = true};
    const int64_t wake_ns = 50000;

    way = &loops;
    open_context(way->poll_max_ns, false);
    ctx.sleep.wake_ns = wake_ns;
    events.begin_ns = 1;
    for (int polled = 0; polled < 2; polled++) {
        int64_t lag_ns = polled ? wake_ns : 2 * wake_ns;

        assert(fd_window_ns(lag_ns + 90000, polled) == 100000 + wake_ns);
        assert(fd_window_ns(lag_ns + 110000, polled) == 0);
        assert(fd_window_ns(lag_ns - 1, polled) > wake_ns);
    }
    ctx.params.max_ns = INT64_MAX; /* for ever is no longer by a wake-up */
    assert(fd_window_ns(INT64_MAX / 2, true) == INT64_MAX);
    close_context();
    aio_core_unref(ctx.core);
}

int main(int argc, char **argv)
{
    static const struct way ways[] = {
        {100000, .debts = true},
        {0, .timers = true},
        {0, .fds = true},
        {0, .posters = 1},
        {100000, .posters = 1},
        {0, .posters = POSTERS, .fds = true, .timers = true},
        {100000, .posters = POSTERS, .fds = true, .timers = true},
        {100000, .posters = POSTERS, .fds = true, .close = true},
        {100000, .posters = 1, .fds = true, .interleaved = true},
        {100000, .posters = 1, .fds = true, .interleaved = true, .naps = true},
        {100000, .doorbell = true},
        {100000, .doorbell = true, .silent = true},
    };

    rounds = count_arg(argc, argv, rounds);
    rng_init(&owner_rng, 100 + seed_arg(argc, argv));
    check_pause();
    if (cpu_usable() > 1) { /* nobody polls where there is one CPU */
        check_fd_windows();
    }
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        way = &ways[i];
        if (!way->silent || cpu_usable() > 1) {
            use();
        }
    }
    assert(ticks && raised && nested);
    printf("turn: %llu ticks, %llu nested turns, %llu raised\n",
           (unsigned long long)ticks, (unsigned long long)nested,
           (unsigned long long)raised);
    return 0;
}
