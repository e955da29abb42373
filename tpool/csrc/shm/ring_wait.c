/* SPDX-License-Identifier: MIT
 *
 * See ring_wait.h.
 */
#include "shm/ring_wait.h"
#include "shm/fd_union.h"

/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16

void ring_waits_init(struct ring_waits *ws, struct word_pollers *p,
                     int64_t poll_max_ns)
{
    ws->pollers = p;
    wait_tuning_init(&ws->tuning, poll_max_ns);
    atomic_init(&ws->lag_ns, 0);
}

void ring_wait_publish(const struct ring_waits *ws, struct ring_end *e)
{
    struct ring_place *mine = &e->memory.places[e->place];

    cpu_publish(&mine->cpu);
    /* A reader waits for what the writer sends; a writer may, for an answer. */
    cpu_publish_lag(
        &mine->lag_ns,
        e->place ? atomic_load_explicit(&ws->lag_ns, memory_order_relaxed)
                 : word_pollers_take_lag(ws->pollers));
}

static const struct ring_place *partner(const struct ring_end *e,
                                        const struct ring_wait *w)
{
    return &e->memory.places[w->want.place];
}

/* A hint.  Whether the partner was on the CPU that the caller is on. */
static bool is_shared(const struct ring_end *e, const struct ring_wait *w)
{
    return atomic_load_explicit(&partner(e, w)->cpu, memory_order_relaxed) ==
           cpu_current();
}

bool ring_wait_poll(struct ring_waits *ws, const struct ring_end *e,
                    struct ring_wait *w, int64_t most_ns)
{
    int64_t window_ns, end_ns;
    bool hit = false;

    w->begun = true;
    w->begin_ns = clock_now_ns();
    window_ns = soonest_timeout_ns(wait_tuning_window_ns(&ws->tuning), most_ns);
    if (!window_ns || !word_pollers_take(ws->pollers, w->begin_ns)) {
        return false;
    }
    end_ns = soonest_timeout_ns(deadline_after_ns(w->begin_ns, window_ns),
                                w->deadline_ns);
    do {
        for (int i = 0; i < SPINS_PER_CLOCK && !hit; i++) {
            hit = ring_end_has(e, &w->want);
            cpu_relax();
        }
    } while (!hit && time_left_ns(end_ns) &&
             (!is_shared(e, w) || cpu_yield(&ws->pollers->crowded_ns)));
    word_pollers_give(ws->pollers);
    return hit;
}

int ring_wait_sleep(struct ring_wait *w, int fd)
{
    w->slept = true;
    return fd_union_wait(fd, time_left_ns(w->deadline_ns));
}

/* What it took to wake: what others write there is no more than a hint. */
static int64_t wake_lag_ns(const struct ring_end *e, const struct ring_wait *w,
                           int64_t now_ns)
{
    int64_t rung_ns = atomic_load_explicit(&e->memory.places[e->place].rung_ns,
                                           memory_order_relaxed);

    return w->slept && rung_ns >= w->begin_ns && rung_ns < now_ns
               ? now_ns - rung_ns
               : 0;
}

void ring_wait_learn(struct ring_waits *ws, const struct ring_end *e,
                     const struct ring_wait *w, bool hit)
{
    int64_t now_ns = clock_now_ns(), own_lag_ns = 0;
    int64_t lag_ns = atomic_load_explicit(&partner(e, w)->lag_ns,
                                          memory_order_relaxed);
    int64_t max_ns = ws->tuning.params.max_ns;

    if (!w->begun || max_ns <= 0 || (!hit && now_ns - w->begin_ns <= max_ns)) {
        return; /* how long it would have been cannot be told */
    }
    if (hit) {
        own_lag_ns = wake_lag_ns(e, w, now_ns);
        wait_tuning_part(&ws->tuning, is_shared(e, w), lag_ns);
    }
    cpu_publish_lag(&ws->lag_ns, own_lag_ns ? own_lag_ns : 1);
    word_pollers_set_lag(ws->pollers, own_lag_ns);
    wait_tuning_learn(&ws->tuning, now_ns - own_lag_ns - w->begin_ns,
                      own_lag_ns, lag_ns > 0 ? lag_ns : 0);
}
