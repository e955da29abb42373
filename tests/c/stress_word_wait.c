/* SPDX-License-Identifier: MIT
 *
 * Word wait: step by step in one thread, the places of those that poll among it; then in
 * lock-step, with random delays: one thread sets a word, two wait for it, with and
 * without a deadline.  At the end no place is taken.
 */
#include "stress.h"
#include "queue/word_wait.h"

#include <signal.h>
#include <string.h>

#define WAITERS 2

static struct word_pollers pollers;
static struct word_waits waits;
static uint64_t rounds = 2000;

/* A round: waiters take turns at it, and each has to have left the one before. */
static _Atomic uint32_t words[2];
static uint64_t payload[2]; /* plain: the word publishes it */
static _Atomic uint64_t begun, ended;
static _Atomic uint64_t timeouts, polled;

static uint32_t places(void)
{
    return atomic_load_explicit(&pollers.polling, memory_order_relaxed);
}

/* Until the window is open; each wait is over before it has begun. */
static void learn_to_poll(void)
{
    for (int i = 0; i < 32; i++) {
        _Atomic uint32_t word;
        struct word_wait w;

        atomic_init(&word, 0);
        word_wait_begin(&waits, &w, &word, -1, false);
        word_set(&waits, &word, 0, 0);
        assert(word_wait(&waits, &w) == 1);
    }
}

static void fix_places(uint32_t most)
{
    atomic_store_explicit(&pollers.looked_ns, INT64_MAX / 2,
                          memory_order_relaxed);
    atomic_store_explicit(&pollers.crowded_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&pollers.most, most, memory_order_relaxed);
}

/* The CPUs are not crowded, whatever has happened here. */
static void begin(struct word_waits *ws, struct word_wait *w,
                  _Atomic uint32_t *word, int64_t timeout_ns, bool signals)
{
    atomic_store_explicit(&pollers.crowded_ns, 0, memory_order_relaxed);
    atomic_store_explicit(word, 0, memory_order_relaxed);
    word_wait_begin(ws, w, word, deadline_in_ns(timeout_ns), signals);
}

static void test_places(void)
{
    struct word_waits other;
    struct word_wait w, second, third;
    _Atomic uint32_t a, b, c;
    atomic_bool blocks;

    word_waits_init(&other, &pollers, POLL_MAX_NS_DEFAULT);
    other.tuning.window.poll_ns = POLL_MAX_NS_DEFAULT;
    fix_places(2);
    learn_to_poll();
    begin(&waits, &w, &a, -1, false);
    assert(w.polls && places() == 1);
    begin(&waits, &second, &b, -1, false);
    assert(!second.polls); /* one of a kind */
    fix_places(1);
    begin(&other, &third, &b, -1, false);
    assert(!third.polls && places() == 1); /* one less than CPUs */
    /* Who sets the word may take the place at once. */
    assert(!word_set(&waits, &a, WORD_USER, 0) && places() == 0);
    begin(&other, &third, &c, -1, false);
    assert(third.polls && places() == 1);
    assert(word_wait(&waits, &w) == 1 && places() == 1 && a & WORD_USER);
    word_set(&other, &c, 0, 0);
    assert(word_wait(&other, &third) == 1 && places() == 0);
    /* Set before it has said that it polls. */
    atomic_init(&a, 0);
    word_set(&waits, &a, 0, 0);
    word_wait_begin(&waits, &w, &a, -1, false);
    assert(w.polls && places() == 0);
    assert(word_wait(&waits, &w) == 1 && places() == 0);
    /* Who sleeps, or was about to, is to be woken. */
    begin(&waits, &w, &a, 1, false);
    assert(word_wait(&waits, &w) == 0 && word_set(&waits, &a, 0, 0));
    /* Nobody is to poll for them now. */
    atomic_init(&blocks, true);
    waits.blocks = &blocks;
    begin(&waits, &w, &a, 0, false);
    assert(!w.polls && word_wait(&waits, &w) == 0);
    atomic_store_explicit(&a, 0, memory_order_relaxed);
    assert(!word_wait_begin_poll(&waits, &w, &a, 1) && places() == 0);
    /* Who is woken then has been where who has set it is. */
    begin(&waits, &w, &a, -1, false);
    word_set(&waits, &a, 0, 0);
    assert(!w.polls && word_wait(&waits, &w) == 1);
    assert(waits.blocked && !waits.tuning.parting.meets);
    atomic_store_explicit(&a, 0, memory_order_relaxed);
    atomic_store_explicit(&blocks, false, memory_order_relaxed);
    assert(word_wait_begin_poll(&waits, &w, &a, 1) && places() == 1);
    assert(word_wait(&waits, &w) == 0 && places() == 0);
    begin(&waits, &w, &a, -1, false);
    word_set(&waits, &a, 0, 0);
    assert(w.polls && word_wait(&waits, &w) == 1 && !waits.blocked);
    waits.blocks = NULL;
    /* No CPU to spare, or others want it. */
    fix_places(0);
    begin(&waits, &w, &a, 0, false);
    assert(!w.polls && word_wait(&waits, &w) == 0);
    fix_places(1);
    atomic_store_explicit(&a, 0, memory_order_relaxed);
    atomic_store_explicit(&pollers.crowded_ns, INT64_MAX, memory_order_relaxed);
    word_wait_begin(&waits, &w, &a, 0, false);
    assert(!w.polls && word_wait(&waits, &w) == 0);
    word_waits_cleanup(&other);
}

/* Who is polled for on its own CPU leaves it: ever less often, if somebody polls. */
static void test_parting(void)
{
    struct word_waits ws;
    atomic_bool blocks = true;

    word_waits_init(&ws, &pollers, NS_PER_MS);
    ws.blocks = &blocks;
    word_waits_part(&ws);
    assert(ws.tuning.parting.refused == 0);
    atomic_store_explicit(&blocks, false, memory_order_relaxed);
    word_waits_part(&ws);
    assert(ws.tuning.parting.refused == 1 && !ws.tuning.parting.leave.tid);
    word_waits_part(&ws);
    assert(ws.tuning.parting.refused == 0 &&
           ws.tuning.parting.refused_max == 4);
#ifdef __linux__
    assert(ws.tuning.parting.leave.tid);
#endif
    word_waits_cleanup(&ws);
}

/* Never early; with signals that may have come, before it sleeps. */
static void test_deadlines(void)
{
    struct word_waits longer;
    struct word_wait w;
    _Atomic uint32_t word;
    int64_t begin_ns;

    atomic_init(&word, 0);
    for (int64_t ns = 1; ns < 4 * NS_PER_MS; ns = 3 * ns + 1) {
        begin_ns = clock_now_ns();
        begin(&waits, &w, &word, ns, false);
        while (word_wait(&waits, &w)) {
        }
        assert(clock_now_ns() - begin_ns >= ns && places() == 0);
    }
    learn_to_poll();
    begin(&waits, &w, &word, 1, true);
    assert(w.polls && word_wait(&waits, &w) == -EINTR);
    assert(!w.polls && word_wait(&waits, &w) == 0 && places() == 0);
    /* Nor do they wait for the end of a long poll phase. */
    word_waits_init(&longer, &pollers, INT64_MAX);
    longer.tuning.window.poll_ns = INT64_MAX;
    begin(&longer, &w, &word, -1, true);
    assert(w.polls && w.window_ns <= NS_PER_MS);
    assert(word_wait(&longer, &w) == -EINTR);
    word_waits_cleanup(&longer);
}

/* Waits that are long teach not to poll, and none is polled with a bound of 0. */
static void test_vain(void)
{
    struct word_waits never;
    struct word_wait w;
    _Atomic uint32_t word;
    int n = 0;

    atomic_init(&word, 0);
    learn_to_poll();
    do {
        assert(n++ < 32);
        begin(&waits, &w, &word, 4 * POLL_MAX_NS_DEFAULT, false);
        assert(word_wait(&waits, &w) == 0);
        begin(&waits, &w, &word, 0, false);
        assert(word_wait(&waits, &w) == 0);
    } while (waits.tuning.window.poll_ns);
    word_waits_init(&never, &pollers, 0);
    never.tuning.window.poll_ns = POLL_MAX_NS_DEFAULT;
    begin(&never, &w, &word, 0, false);
    assert(!w.polls && word_wait(&never, &w) == 0);
    word_waits_cleanup(&never);
}

/*
 * A partner that takes longer to wake than the window is would never be met awake.  One wait
 * in eight lasts until it is, and no longer than eight may poll.
 */
static void test_partner_that_wakes_late_is_waited_for_now_and_then(void)
{
    static const struct {
        int64_t max_ns, lag_ns, more_ns;
    } cases[] = {
        {32768, 1, 0},
        {32768, 2000, 0},
        {32768, 2001, 4002},
        {32768, 100000, 200000},
        {32768, INT64_MAX, 8 * 32768},
        {INT64_MAX, 400000, 800000},
        {INT64_MAX, INT64_MAX, NS_PER_MS},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wait_tuning t;

        wait_tuning_init(&t, cases[i].max_ns);
        wait_tuning_learn(&t, 1000, 0, cases[i].lag_ns);
        t.window.poll_ns = 2000;
        for (int n = 1; n <= 24; n++) {
            assert(wait_tuning_window_ns(&t) ==
                   2000 + (n % 8 ? 0 : cases[i].more_ns));
        }
        t.window.poll_ns = 0; /* where polling does not pay that is no reason */
        for (int n = 1; n <= 24; n++) {
            assert(wait_tuning_window_ns(&t) == 0);
        }
    }
}

/* What the setter took to wake is not what it would take if it polled. */
static void test_lag(void)
{
    assert(!word_pollers_ask(&pollers));
    word_pollers_take_lag(&pollers); /* of the waits before */
    assert(word_pollers_ask(&pollers));
    word_pollers_set_lag(&pollers, 7);
    assert(word_pollers_take_lag(&pollers) == 7);
    assert(word_pollers_take_lag(&pollers) == 0);
    word_pollers_set_lag(&pollers, 0);
    assert(word_pollers_take_lag(&pollers) == 1);
    assert(word_pollers_take_lag(&pollers) == 0);
}

static void on_signal(int number)
{
    (void)number;
}

static void *wait_for_signal(void *arg)
{
    struct word_wait w;

    begin(&waits, &w, &words[0], -1, false);
    while (word_wait(&waits, &w) != -EINTR) {
        assert(false && "nothing sets it");
    }
    atomic_store_explicit((atomic_bool *)arg, true, memory_order_release);
    return NULL;
}

static void test_signal(void)
{
    struct sigaction action;
    atomic_bool done;
    pthread_t thread;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    atomic_init(&done, false);
    thread = thread_start(wait_for_signal, &done);
    while (!atomic_load_explicit(&done, memory_order_acquire)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    thread_join(thread);
}

/* A deadline that has come is no end: it is waited for again. */
static void wait_for(_Atomic uint32_t *word, struct rng *r)
{
    struct word_wait w;
    int set;

    do {
        int64_t timeout_ns = rng_below(r, 4) ? STRESS_DEADLINE_NS
                                             : rng_below(r, 3000);

        word_wait_begin(&waits, &w, word, deadline_in_ns(timeout_ns), false);
        if (w.polls) {
            assert(places() <= 1);
            atomic_fetch_add_explicit(&polled, 1, memory_order_relaxed);
        }
        do {
            set = word_wait(&waits, &w);
        } while (set < 0);
        assert(set || timeout_ns < STRESS_DEADLINE_NS);
        if (!set) {
            atomic_fetch_add_explicit(&timeouts, 1, memory_order_relaxed);
        }
    } while (!set);
}

static void *wait_often(void *arg)
{
    struct rng r;

    rng_init(&r, (uint64_t)(uintptr_t)arg);
    for (uint64_t i = 1; i <= rounds; i++) {
        WAIT_UNTIL(atomic_load_explicit(&begun, memory_order_acquire) >= i);
        random_delay(&r);
        wait_for(&words[i % 2], &r);
        assert(payload[i % 2] == i);
        atomic_fetch_add_explicit(&ended, 1, memory_order_release);
    }
    return NULL;
}

static void set_often(void)
{
    struct rng r;

    rng_init(&r, 99);
    for (uint64_t i = 1; i <= rounds; i++) {
        _Atomic uint32_t *word = &words[i % 2];

        WAIT_UNTIL(atomic_load_explicit(&ended, memory_order_acquire) ==
                   WAITERS * (i - 1));
        atomic_store_explicit(word, 0, memory_order_relaxed);
        atomic_store_explicit(&begun, i, memory_order_release);
        random_delay(&r);
        if (rng_below(&r, 8) == 0) {
            spin(rng_below(&r, 3000));
        }
        payload[i % 2] = i;
        if (word_set(&waits, word, 0, 0)) {
            word_wake(&waits, word);
        }
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[WAITERS];

    rounds = count_arg(argc, argv, rounds);
    word_pollers_init(&pollers);
    word_waits_init(&waits, &pollers, POLL_MAX_NS_DEFAULT);
    test_places();
    test_parting();
    test_deadlines();
    test_vain();
    test_lag();
    test_partner_that_wakes_late_is_waited_for_now_and_then();
    test_signal();
    for (uintptr_t i = 0; i < WAITERS; i++) {
        threads[i] = thread_start(wait_often, (void *)i);
    }
    set_often();
    for (int i = 0; i < WAITERS; i++) {
        thread_join(threads[i]);
    }
    assert(places() == 0);
    word_waits_cleanup(&waits);
    printf("word_wait: %llu words, %llu polls, %llu time-outs\n",
           (unsigned long long)rounds, (unsigned long long)polled,
           (unsigned long long)timeouts);
    return 0;
}
