/* SPDX-License-Identifier: MIT
 *
 * See call_table.h.
 */
#include "aio/call_table.h"
#include "tune/batch.h"

void call_table_init(struct call_table *t)
{
    for (int i = 0; i < CALL_PLACES; i++) {
        struct call_place *p = &t->places[i];

        atomic_init(&p->key, 0);
        atomic_init(&p->in_flight, 0);
        atomic_init(&p->submit_ns, 0);
    }
    call_table_reset(t);
    atomic_init(&t->last, NULL);
}

void call_table_reset(struct call_table *t)
{
    for (int i = 0; i < CALL_PLACES; i++) {
        call_history_init(&t->places[i].known, 0);
        t->places[i].known_key = 0;
    }
}

static uint32_t in_flight_at(const struct call_place *p)
{
    return atomic_load_explicit(&((struct call_place *)p)->in_flight,
                                memory_order_relaxed);
}

/* Whether the place is, or now becomes, that of key. */
static bool claim(struct call_place *p, uintptr_t key)
{
    uintptr_t before = atomic_load_explicit(&p->key, memory_order_relaxed);

    if (before == key) {
        return true;
    }
    return in_flight_at(p) == 0 &&
           atomic_compare_exchange_strong_explicit(&p->key, &before, key,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed);
}

struct call_place *call_table_place(struct call_table *t, uintptr_t key)
{
    /* Addresses: their low bits are alike, and the product's high ones differ. */
    uint64_t hash = (uint64_t)key * UINT64_C(0x9E3779B97F4A7C15);
    struct call_place *first = &t->places[(hash >> 32) % CALL_PLACES];
    struct call_place *second = &t->places[(hash >> 48) % CALL_PLACES];

    if (atomic_load_explicit(&second->key, memory_order_relaxed) == key) {
        return second;
    }
    return claim(first, key) || !claim(second, key) ? first : second;
}

void call_table_submitted(struct call_table *t, struct call_place *place,
                          uint32_t n, int64_t now_ns)
{
    atomic_fetch_add_explicit(&place->in_flight, n, memory_order_relaxed);
    atomic_store_explicit(&place->submit_ns, now_ns, memory_order_relaxed);
    /* Written only where it changed: submitters share the line. */
    if (atomic_load_explicit(&t->last, memory_order_relaxed) != place) {
        atomic_store_explicit(&t->last, place, memory_order_relaxed);
    }
}

void call_place_forget(struct call_place *place)
{
    atomic_fetch_sub_explicit(&place->in_flight, 1, memory_order_relaxed);
}

void call_place_done(struct call_place *place, int64_t took_ns, int64_t run_ns)
{
    call_place_forget(place);
    if (took_ns >= 0 && place->known_key) {
        moving_add(&place->known.took, took_ns);
        if (run_ns > 0) {
            moving_add(&place->known.ran, run_ns);
        }
    }
}

static struct call_history *known_of(struct call_place *p, int64_t poll_ns)
{
    uintptr_t key = atomic_load_explicit(&p->key, memory_order_relaxed);

    if (p->known_key != key) {
        call_history_init(&p->known, poll_ns);
        p->known_key = key;
    }
    return &p->known;
}

struct wait_plan call_table_plan(struct call_table *t,
                                 const struct poll_params *params,
                                 struct sleep_costs *costs, uint32_t in_flight,
                                 int64_t poll_ns, int64_t now_ns, bool serial)
{
    struct call_place *last = atomic_load_explicit(&t->last,
                                                   memory_order_relaxed);
    struct wait_plan best = {.choice = WAIT_BLOCK};

    if (last && in_flight_at(last) == in_flight) {
        int64_t age_ns = now_ns - atomic_load_explicit(&last->submit_ns,
                                                       memory_order_relaxed);
        struct call_history *known = known_of(last, poll_ns);

        best = call_plan(known, params, costs, in_flight == 1 ? age_ns : -1);
        if (serial && in_flight > 1) {
            struct wait_plan batch = call_plan_batch(
                known, params, costs,
                batch_whole_ns(in_flight, known->ran.mean_ns));

            best = batch.choice == WAIT_NAP ? batch : best;
        }
        return best;
    }
    for (int i = 0; i < CALL_PLACES; i++) {
        struct call_place *p = &t->places[i];
        struct wait_plan plan;

        if (in_flight_at(p)) {
            plan = call_plan(known_of(p, poll_ns), params, costs, -1);
            best = plan.window_ns > best.window_ns ? plan : best;
        }
    }
    return best;
}

enum poll_verdict call_table_tune(struct call_table *t,
                                  const struct poll_params *params,
                                  struct call_place *place, int64_t block_ns)
{
    enum poll_verdict verdict = POLL_KEEP;

    if (place && place->known_key) {
        verdict = poll_window_tune(&place->known.poll, params, block_ns);
    }
    for (int i = 0; i < CALL_PLACES && block_ns > params->max_ns; i++) {
        struct call_place *p = &t->places[i];

        if (p != place && p->known_key && in_flight_at(p)) {
            poll_window_tune(&p->known.poll, params, block_ns);
        }
    }
    return verdict;
}
