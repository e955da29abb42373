/* SPDX-License-Identifier: MIT
 *
 * See word_wait.h.
 */
#include "queue/word_wait.h"

/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16
/* How long a signal may have to wait for the end of a poll phase. */
#define SIGNALS_NS NS_PER_MS

void word_waits_init(struct word_waits *ws, struct word_pollers *p,
                     int64_t poll_max_ns)
{
    ws->pollers = p;
    wait_tuning_init(&ws->tuning, poll_max_ns);
    ws->blocks = NULL;
    atomic_init(&ws->busy, false);
    atomic_init(&ws->polled_ns, 0);
    ws->blocked = false;
    atomic_init(&ws->setter, -1);
    atomic_init(&ws->woken_ns, 0);
    atomic_init(&ws->lag_ns, 0);
    futex_bed_init(&ws->bed);
}

void word_waits_cleanup(struct word_waits *ws)
{
    futex_bed_cleanup(&ws->bed);
}

/* Acquire and release: what one busy thread has learned the next goes on with. */
static bool get_busy(struct word_waits *ws)
{
    return !atomic_load_explicit(&ws->busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&ws->busy, true, memory_order_acquire);
}

static void end_busy(struct word_waits *ws)
{
    atomic_store_explicit(&ws->busy, false, memory_order_release);
}

/* Relaxed: who misreads it polls once more, or once less. */
static bool may_poll(const struct word_waits *ws)
{
    return ws->tuning.params.max_ns > 0 &&
           !(ws->blocks &&
             atomic_load_explicit(ws->blocks, memory_order_relaxed));
}

/* Busy.  Takes a place for a poll phase of w->window_ns, if there is one. */
static void take_place(struct word_waits *ws, struct word_wait *w)
{
    if (!w->window_ns || !word_pollers_take(ws->pollers, w->begin_ns)) {
        end_busy(ws);
        return;
    }
    w->polls = true;
    if (atomic_fetch_or_explicit(w->word, WORD_POLLS, memory_order_relaxed) &
        WORD_SET) {
        /* Who set it has not seen that it is taken. */
        word_pollers_give(ws->pollers);
    }
}

void word_wait_begin(struct word_waits *ws, struct word_wait *w,
                     _Atomic uint32_t *word, int64_t deadline_ns, bool signals)
{
    *w = (struct word_wait){.word = word,
                            .begin_ns = clock_now_ns(),
                            .deadline_ns = deadline_ns,
                            .signals = signals};
    if (!may_poll(ws) || !get_busy(ws)) {
        return;
    }
    w->window_ns = wait_tuning_window_ns(&ws->tuning);
    if (signals && w->window_ns > SIGNALS_NS) {
        w->window_ns = SIGNALS_NS;
    }
    take_place(ws, w);
}

bool word_wait_begin_poll(struct word_waits *ws, struct word_wait *w,
                          _Atomic uint32_t *word, int64_t window_ns)
{
    *w = (struct word_wait){
        .word = word, .begin_ns = clock_now_ns(), .window_ns = window_ns};
    w->deadline_ns = w->begin_ns + window_ns;
    if (may_poll(ws) && get_busy(ws)) {
        take_place(ws, w);
    }
    return w->polls;
}

bool word_waits_are_shared(const struct word_waits *ws)
{
    return atomic_load_explicit(&ws->setter, memory_order_relaxed) ==
           cpu_current();
}

static bool is_set(_Atomic uint32_t *word)
{
    /* Acquire: pairs with the release in word_set(). */
    return atomic_load_explicit(word, memory_order_acquire) & WORD_SET;
}

static bool poll_phase(struct word_waits *ws, struct word_wait *w)
{
    int64_t end_ns = soonest_timeout_ns(
        deadline_after_ns(w->begin_ns, w->window_ns), w->deadline_ns);

    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (is_set(w->word)) {
                return true;
            }
            cpu_relax();
        }
    } while (time_left_ns(end_ns) && (!word_waits_are_shared(ws) ||
                                      cpu_yield(&ws->pollers->crowded_ns)));
    /* Nobody has given the place back: it is given here. */
    if (atomic_fetch_and_explicit(w->word, ~WORD_POLLS, memory_order_acquire) &
        WORD_SET) {
        return true;
    }
    word_pollers_give(ws->pollers);
    return false;
}

void word_waits_part(struct word_waits *ws)
{
    if (may_poll(ws) && get_busy(ws)) {
        struct cpu_parting *parting = &ws->tuning.parting;

        if (cpu_parting_is_due(parting, true)) {
            cpu_leave(&parting->leave, cpu_current());
        }
        end_busy(ws);
    }
}

/*
 * Busy, awake.  Two that do not poll are better off on one CPU: once it is so the waiter
 * joins the setter, and when they poll again it leaves.
 */
static void meet_or_part(struct word_waits *ws)
{
    struct cpu_parting *parting = &ws->tuning.parting;
    bool blocks = !may_poll(ws);
    int cpu = atomic_load_explicit(&ws->setter, memory_order_relaxed);

    if (blocks != ws->blocked) {
        ws->blocked = blocks;
        cpu_parting_expect(parting, blocks);
    }
    if (!blocks) {
        wait_tuning_part(
            &ws->tuning, word_waits_are_shared(ws),
            atomic_load_explicit(&ws->lag_ns, memory_order_relaxed));
    } else if (parting->meets) {
        parting->meets = false;
        if (cpu >= 0 && cpu != cpu_current()) {
            cpu_join(&parting->leave, cpu);
        }
    }
}

/* Busy.  The wait has ended at end_ns, for a thread that was awake after lag_ns. */
static void learn(struct word_waits *ws, struct word_wait *w, int64_t end_ns,
                  int64_t lag_ns)
{
    word_pollers_set_lag(ws->pollers, lag_ns);
    wait_tuning_learn(&ws->tuning, end_ns - w->begin_ns, lag_ns,
                      atomic_load_explicit(&ws->lag_ns, memory_order_relaxed));
}

/* Awake: the word is set, or it is too late. */
static void learn_from_sleep(struct word_waits *ws, struct word_wait *w)
{
    int64_t woken_ns = atomic_load_explicit(&ws->woken_ns,
                                            memory_order_relaxed);
    int64_t now_ns = clock_now_ns(), lag_ns = 0;
    bool set = is_set(w->word);

    if (!set && now_ns - w->begin_ns <= ws->tuning.params.max_ns) {
        return; /* how long it would have been cannot be told */
    }
    if (ws->tuning.params.max_ns > 0 && get_busy(ws)) {
        if (set && woken_ns >= w->begin_ns) {
            lag_ns = now_ns - woken_ns;
        }
        if (set) {
            meet_or_part(ws);
        }
        learn(ws, w, now_ns - lag_ns, lag_ns);
        end_busy(ws);
    }
}

int word_wait(struct word_waits *ws, struct word_wait *w)
{
    int ret = 0;

    if (w->polls) {
        bool hit = poll_phase(ws, w);
        int64_t now_ns = clock_now_ns();

        w->polls = false;
        counter_add(&ws->polled_ns, (uint64_t)(now_ns - w->begin_ns));
        if (hit) {
            meet_or_part(ws);
            learn(ws, w, now_ns, 0);
        }
        end_busy(ws);
        if (hit || w->signals) {
            return hit ? 1 : -EINTR;
        }
    }
    w->slept = true;
    while (ret != -EINTR) {
        /* A, which acquires where it reads what S has released. */
        uint32_t now = atomic_fetch_or_explicit(w->word, WORD_SLEEPS,
                                                memory_order_acquire);
        int64_t left_ns = time_left_ns(w->deadline_ns);

        if (now & WORD_SET || left_ns == 0) {
            learn_from_sleep(ws, w);
            return now & WORD_SET ? 1 : 0;
        }
        /* F */
        ret = futex_wait(&ws->bed, w->word, now | WORD_SLEEPS, left_ns);
    }
    return ret;
}

bool word_set(struct word_waits *ws, _Atomic uint32_t *word, uint32_t bits,
              int64_t lag_ns)
{
    uint32_t before;

    cpu_publish_lag(&ws->lag_ns, lag_ns);
    cpu_publish(&ws->setter);
    /* S */
    before = atomic_fetch_or_explicit(word, bits | WORD_SET,
                                      memory_order_release);
    if (before & WORD_POLLS) {
        word_pollers_give(ws->pollers);
    }
    return before & WORD_SLEEPS;
}

void word_wake(struct word_waits *ws, _Atomic uint32_t *word)
{
    /* Relaxed: a figure. */
    atomic_store_explicit(&ws->woken_ns, clock_now_ns(), memory_order_relaxed);
    futex_wake(&ws->bed, word);
}
