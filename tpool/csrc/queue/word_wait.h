/* SPDX-License-Identifier: MIT
 *
 * Word wait: any thread waits for a word of 32 bits that another one sets, once.  It
 * looks at it busily for a while, if that is likely to pay, and then sleeps.
 *
 * The lowest bits of the word say what it is about, the others are its user's:
 *
 *   setter                                 waiter
 *   ------                                 ------
 *   S: or WORD_SET                         A: or WORD_SLEEPS
 *      WORD_SLEEPS was there: wake            WORD_SET was there: do not sleep
 *      else done, no system call           F: sleep, if the word is still the same
 *
 * No wake-up is lost: all that changes the word is a read-modify-write, so S and A
 * stand in the one order that there is of a word's changes, whatever the processor.
 *   A after S: it has read WORD_SET, and the waiter does not sleep.
 *   A before S: S has read WORD_SLEEPS, and wakes.  F came before that, and is ended by
 *   it; or after S, and finds another word.
 * Nobody takes WORD_SLEEPS away.  There is no second location, so nothing is asked of
 * the order of two (as it is in notify.h): S is a release, and who reads WORD_SET
 * acquires what was written before it.
 *
 * Who polls has a place among the pollers (word_pollers.h), and WORD_POLLS says so.  Who
 * sets the word gives it back, so that it may take it for a wait of its own although the
 * poller has seen nothing yet; who gives up gives it back itself, if nobody has set the
 * word.  Both are read-modify-writes of the word: one of them finds the other's.
 *
 * For how long polling pays is learned from the waits of one kind: struct word_waits.
 * One thread at a time polls for them, or learns (busy); the others sleep at once.
 */
#ifndef TPOOL_QUEUE_WORD_WAIT_H
#define TPOOL_QUEUE_WORD_WAIT_H

#include "base/futex.h"
#include "queue/wait_tuning.h"
#include "queue/word_pollers.h"

#define WORD_SET    1u /* what is waited for */
#define WORD_POLLS  2u /* a waiter has a place among the pollers */
#define WORD_SLEEPS 4u /* a waiter sleeps, or is about to */
/* The first of the bits that are the user's. */
#define WORD_USER 8u

/* What the waits of one kind have in common: of a queue, of the calls of a pool. */
struct word_waits {
    /* Immutable after init. */
    struct word_pollers *pollers;
    const atomic_bool *blocks; /* while set nobody polls; NULL: it never is */
    /* Any thread.  Somebody polls, or learns; what follows is its own. */
    atomic_bool busy;
    struct wait_tuning tuning;
    counter64 polled_ns; /* in all poll phases; any thread may look */
    bool blocked;        /* as of the last wait; the CPU goes by that */
    /* Any thread, relaxed: figures.  When one was last woken, and its waker's lag. */
    _Atomic int64_t woken_ns;
    _Atomic int64_t lag_ns;
    _Atomic int setter; /* the CPU of the last */
    struct futex_bed bed;
};

/* One wait.  Its thread only. */
struct word_wait {
    _Atomic uint32_t *word;
    int64_t begin_ns, window_ns, deadline_ns;
    bool polls;   /* it has a place, and is busy */
    bool slept;   /* it did, or was about to */
    bool signals; /* its caller handles them: see word_wait() */
};

/* poll_max_ns: bound of a poll phase; 0: nobody polls. */
void word_waits_init(struct word_waits *ws, struct word_pollers *p,
                     int64_t poll_max_ns);
void word_waits_cleanup(struct word_waits *ws);

/*
 * Any thread; never blocks.  A wait for the word, which decides here whether it polls
 * (w->polls).  word_wait() must follow.  deadline_ns: -1: none.  signals: the caller
 * runs the handlers of signals, and is asked to before it sleeps.
 */
void word_wait_begin(struct word_waits *ws, struct word_wait *w,
                     _Atomic uint32_t *word, int64_t deadline_ns, bool signals);

/*
 * The same for one that does not sleep, and polls for window_ns whatever was learned.
 * False: it may not, and word_wait() need not follow.
 */
bool word_wait_begin_poll(struct word_waits *ws, struct word_wait *w,
                          _Atomic uint32_t *word, int64_t window_ns);

/*
 * The same thread, in C alone: it polls, then sleeps.  1: the word is set, acquired;
 * 0: the deadline has come; -EINTR: signals may have come, it is to be called again.
 */
int word_wait(struct word_waits *ws, struct word_wait *w);

/*
 * The same thread, a hint: whether who set a word last was on the CPU that the caller
 * is on.  Then it is to be let in, and not looked for.
 */
bool word_waits_are_shared(const struct word_waits *ws);

/*
 * Any thread that polls for no word, and is polled for on the CPU that it is on: has it
 * move to another, ever less often where that is vain.
 */
void word_waits_part(struct word_waits *ws);

/*
 * Any thread, once for each word: sets it, and bits of the user's with it.  Release:
 * pairs with the acquire in word_wait().  lag_ns: how long the caller took to wake for
 * what made it do so, 1: it was polling for that; 0: it does not wait for anything that
 * this wait leads to.  Returns whether word_wake() must follow; where it need not, the
 * word may be gone.
 */
bool word_set(struct word_waits *ws, _Atomic uint32_t *word, uint32_t bits,
              int64_t lag_ns);

/* The same thread.  The word may be gone, ws may not. */
void word_wake(struct word_waits *ws, _Atomic uint32_t *word);

#endif
