/* SPDX-License-Identifier: MIT
 *
 * The notify_me / notified handshake: whether a poster must write the event
 * notifier, decided so that no wake-up is lost and none is wasted.
 *
 * Posters are any threads; the owner is the one thread that polls.
 *
 *   poster, after its push P                 owner, poll(blocking=True)
 *   ------------------------                 --------------------------
 *   L: load state                            raise notify_me by 2
 *      not BLOCKED: done, no system call     poll phase: look, and look again
 *   C: CAS state, BLOCKED -> awake           A: store state with BLOCKED
 *      lost: somebody else wakes, or L again K: look at the list, at notified
 *   W: write the event notifier                 something there: do not block
 *   N: notified |= NOTIFIED_WRITTEN             nothing: wait for the notifier
 *                                            U: store state without BLOCKED
 *                                            (context re-acquired:) lower by 2
 *                                            accept: take notified, drain if
 *                                            written, or seen readable
 *
 * Invariant L, no lost wake-up.  P, L, A and K are seq_cst accesses, so they
 * have one order S that all threads agree on.
 *   bad case: the owner sleeps with the node in the list.  Then K came before P
 *   in S (it missed the node), A before K and P before L in program order, so
 *   A before L: the poster saw BLOCKED, or a state stored after A.  Only C and
 *   U take BLOCKED away: U means that the owner is awake and will look again,
 *   C means that another poster is on its way to W.  Either way the owner wakes.
 * Weaken any of the four and S need not exist: in x86 terms P, or A, may still
 * be in a store buffer while L, or K, has already been answered from memory.
 * A bare notify() is the same proof with `notified |= NOTIFIED_BARE` for P.
 *
 * Invariant B, no needless write.  W follows a C that found BLOCKED, and of all
 * posters one wins it: at most one write for each time the owner blocks.
 *
 * Invariant W: W comes before N.  At rest (no poster between L and N) a
 * readable notifier is announced by notified, so accept() drains it without a
 * system call to find out, and a foreign loop does not find it readable for
 * nothing.  With N first, the owner can accept in between: it drains nothing,
 * and the fd stays readable with nobody to say so.
 *   Nor may W be left out because notified is already set: it may be left from
 *   a bare notify() that this sleep has already looked past.
 *   The kernel may run the owner in the middle, after W: the wait has then
 *   reported the notifier, and accept() is told so.  It must not wait for N,
 *   which the poster, preempted on this very CPU, cannot set.  The late N keeps
 *   nobody from blocking (K looks for NOTIFIED_BARE): it costs one empty drain.
 *
 * A nap is a block that ends by itself before long: NAPS is stored with BLOCKED (A), and
 * taken away with it (U).  Who posts, and will again, as a worker between two calls of a
 * batch, leaves such an owner asleep.  What was posted waits for who posts last, or for
 * the end of the nap, where the owner looks again.  L sees NAPS and BLOCKED in one load:
 * by the proof above NAPS is of the block that missed the node, if any did.
 *
 * A post in the poll phase sets no flag at all: the node itself is seen.  (A
 * flag set after the owner took the node would cost it one empty turn.)
 *
 * A foreign loop does A and K in prepare(), U in check(), and waits in between.
 * A turn in between is U at its begin and A, K at its end; what K finds then is
 * written, for the loop looks at nothing but the fd.
 *
 * tests/models holds the model and the mutants, tests/c the checks of this file
 * under a weak-memory checker.
 */
#ifndef TPOOL_AIO_NOTIFY_H
#define TPOOL_AIO_NOTIFY_H

#include "base/clock.h"
#include "queue/completion_list.h"
#include "base/event_notifier.h"

/* notify.state: notify_me in the low bits ... */
#define NOTIFY_FOREIGN 1u /* a foreign loop waits on the context's fd */
#define NOTIFY_STEP    2u /* one blocking poll() */
/* ... and: the owner sleeps, or is about to; cleared by who wakes it ... */
#define NOTIFY_BLOCKED (1u << 31)
#define NOTIFY_NAPS    (1u << 30) /* beside it: a nap */

#define NOTIFIED_BARE    1u /* notify() without a node */
#define NOTIFIED_WRITTEN 2u /* the notifier was written and is to be drained */

struct notify {
    /* Any thread; see above. */
    _Atomic uint32_t state;
    _Atomic uint32_t notified;
    /* Posters: when the last write was begun; what work that came had to wait
     * for after it is the machine's wake cost and not the work's delay. */
    _Atomic int64_t wake_ns;
    _Atomic uint64_t writes; /* event notifier writes made */
    /* Immutable after init. */
    struct event_notifier notifier;
};

/* Returns 0 or -errno. */
int notify_init(struct notify *n);
void notify_cleanup(struct notify *n);

/* Any thread, after the node was pushed with completion_list_push(). */
void notify_post(struct notify *n);

/* The same, where the caller will post again before long: not who naps is woken. */
void notify_post_early(struct notify *n);

/* Any thread.  Writes the notifier and says so, whatever the state. (W, N) */
void notify_write(struct notify *n);

/* Any thread.  Sticks until the owner accepts it. */
void notify_bare(struct notify *n);

/* Owner, context acquired.  Before anything is looked at; nests. */
void notify_raise(struct notify *n, uint32_t step);

/* Owner, context acquired. */
void notify_lower(struct notify *n, uint32_t step);

/*
 * Owner.  Announces the block (A) and looks once more (K).  False where
 * something is there: the announcement is withdrawn, the caller must not block.
 */
bool notify_may_block(struct notify *n, struct completion_list *list);

/* The same, before a nap. */
bool notify_may_nap(struct notify *n, struct completion_list *list);

/* Owner, awake again, before anything is looked at.  (U) */
void notify_unblock(struct notify *n);

/*
 * Owner, context acquired.  Clears notified; drains what was written.  fired:
 * the wait has reported the notifier.
 */
void notify_accept(struct notify *n, bool fired);

/* Any thread. */
static inline uint32_t notify_me(struct notify *n)
{
    /* Relaxed: a figure to look at. */
    return atomic_load_explicit(&n->state, memory_order_relaxed) &
           ~(NOTIFY_BLOCKED | NOTIFY_NAPS);
}

/* Any thread.  Relaxed: who sees it late looks again, see K. */
static inline bool notify_is_notified(struct notify *n)
{
    return atomic_load_explicit(&n->notified, memory_order_relaxed) &
           NOTIFIED_BARE;
}

#endif
