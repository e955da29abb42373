/* SPDX-License-Identifier: MIT
 *
 * Call table: the calls in flight by what they call, for the owner that waits
 * for them.  A place is taken by the callable that comes by.  One that is in use
 * is shared with it: what is learned there is then about both.
 */
#ifndef TPOOL_AIO_CALL_TABLE_H
#define TPOOL_AIO_CALL_TABLE_H

#include "tune/call_plan.h"

/* Callables that are told apart; a power of two. */
#define CALL_PLACES 32

struct call_place {
    /* Any thread; relaxed, hints: who misreads one polls too much or too little. */
    _Alignas(CACHE_LINE) _Atomic uintptr_t key; /* 0: free */
    _Atomic uint32_t in_flight;                 /* submitted, not dispatched */
    _Atomic int64_t submit_ns;                  /* the last */
    /* Owner only. */
    _Alignas(CACHE_LINE) struct call_history known;
    uintptr_t known_key; /* what that is about */
};

struct call_table {
    struct call_place places[CALL_PLACES];
    /* Any thread; relaxed: where the last call was submitted, or NULL. */
    _Atomic(struct call_place *) last;
};

void call_table_init(struct call_table *t);

/* Any thread.  The place of a callable; key is not 0. */
struct call_place *call_table_place(struct call_table *t, uintptr_t key);

/* Submitter.  n calls at now_ns; and one of them is not to be, after all. */
void call_table_submitted(struct call_table *t, struct call_place *place,
                          uint32_t n, int64_t now_ns);
void call_place_forget(struct call_place *place);

/*
 * Owner.  A call is over; took_ns: from submit to its end, -1: it did not run; run_ns: of
 * that, what it ran, 0: unknown.
 */
void call_place_done(struct call_place *place, int64_t took_ns, int64_t run_ns);

/*
 * Owner, in_flight calls in flight.  What to do about them; poll_ns: the window
 * to start with for a callable that nothing is known of; serial: they are run one at a
 * time, and the owner needs what they need.
 */
struct wait_plan call_table_plan(struct call_table *t,
                                 const struct poll_params *params,
                                 struct sleep_costs *costs, uint32_t in_flight,
                                 int64_t poll_ns, int64_t now_ns, bool serial);

/*
 * Owner, after a wait of block_ns that a call of place has ended (NULL: another
 * source).  Those still in flight learn of it if it was too long for them.
 */
enum poll_verdict call_table_tune(struct call_table *t,
                                  const struct poll_params *params,
                                  struct call_place *place, int64_t block_ns);

/* Owner.  The parameters are new: nothing is known any more. */
void call_table_reset(struct call_table *t);

#endif
