/* SPDX-License-Identifier: MIT
 *
 * See notify.h for the protocol, whose letters stand here, and for its proof.
 */
#include "aio/notify.h"

int notify_init(struct notify *n)
{
    atomic_init(&n->state, 0);
    atomic_init(&n->notified, 0);
    atomic_init(&n->wake_ns, 0);
    atomic_init(&n->writes, 0);
    /* A pipe: it can be told from whatever else may get its number. */
    return event_notifier_init_pipe(&n->notifier);
}

void notify_cleanup(struct notify *n)
{
    event_notifier_cleanup(&n->notifier);
}

void notify_write(struct notify *n)
{
    /* Relaxed: read after the wake, which W orders. */
    atomic_store_explicit(&n->wake_ns, clock_now_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&n->writes, 1, memory_order_relaxed);
    event_notifier_set(&n->notifier); /* W */
    /* N: release, so that who accepts the flag finds the fd readable. */
    atomic_fetch_or_explicit(&n->notified, NOTIFIED_WRITTEN,
                             memory_order_release);
}

/* spared: the owner is left asleep where it is so. */
static void post(struct notify *n, uint32_t spared)
{
    /* L: pairs with A in may_block(). */
    uint32_t state = atomic_load_explicit(&n->state, memory_order_seq_cst);

    while ((state & NOTIFY_BLOCKED) && !(state & spared)) {
        /*
         * C, acquire: W stays behind it.  A failure reads what was stored
         * after what L saw, so the proof holds for it as for L: relaxed.
         */
        if (!atomic_compare_exchange_weak_explicit(
                &n->state, &state, state & ~NOTIFY_BLOCKED,
                memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        notify_write(n);
        return;
    }
}

void notify_post(struct notify *n)
{
    post(n, 0);
}

void notify_post_early(struct notify *n)
{
    post(n, NOTIFY_NAPS);
}

void notify_bare(struct notify *n)
{
    /* P: pairs with K in may_block(). */
    atomic_fetch_or_explicit(&n->notified, NOTIFIED_BARE, memory_order_seq_cst);
    notify_post(n);
}

/* While BLOCKED is not set, nobody else writes state: a plain step. */
void notify_raise(struct notify *n, uint32_t step)
{
    uint32_t state = atomic_load_explicit(&n->state, memory_order_relaxed);

    /* Relaxed: without BLOCKED a poster does the same whatever it reads. */
    atomic_store_explicit(&n->state, state + step, memory_order_relaxed);
}

void notify_lower(struct notify *n, uint32_t step)
{
    assert(notify_me(n) >= step);
    notify_raise(n, -step);
}

/* how: BLOCKED, and NAPS or not. */
static bool may_block(struct notify *n, struct completion_list *list,
                      uint32_t how)
{
    uint32_t state = atomic_load_explicit(&n->state, memory_order_relaxed);

    /* A: pairs with L in post(). */
    atomic_store_explicit(&n->state, state | how, memory_order_seq_cst);
    /* K: pairs with P, the push or notify_bare(). */
    if (!completion_list_look(list) &&
        !(atomic_load_explicit(&n->notified, memory_order_seq_cst) &
          NOTIFIED_BARE)) {
        return true;
    }
    notify_unblock(n);
    return false;
}

bool notify_may_block(struct notify *n, struct completion_list *list)
{
    return may_block(n, list, NOTIFY_BLOCKED);
}

bool notify_may_nap(struct notify *n, struct completion_list *list)
{
    return may_block(n, list, NOTIFY_BLOCKED | NOTIFY_NAPS);
}

void notify_unblock(struct notify *n)
{
    uint32_t state = atomic_load_explicit(&n->state, memory_order_relaxed);

    /*
     * U, relaxed: a poster that still sees BLOCKED loses C, or has won it
     * already and writes once; one that sees it gone relies on the next look.
     */
    atomic_store_explicit(&n->state, state & ~(NOTIFY_BLOCKED | NOTIFY_NAPS),
                          memory_order_relaxed);
}

void notify_accept(struct notify *n, bool fired)
{
    uint32_t notified = atomic_load_explicit(&n->notified,
                                             memory_order_relaxed);

    /* Relaxed: a flag missed here keeps the next poll() from blocking (K). */
    if (notified) {
        /* Acquire: pairs with N. */
        notified = atomic_exchange_explicit(&n->notified, 0,
                                            memory_order_acquire);
    }
    if (fired) {
        event_notifier_drain(&n->notifier);
    } else if (notified & NOTIFIED_WRITTEN) {
        event_notifier_test_and_clear(&n->notifier);
    }
}
