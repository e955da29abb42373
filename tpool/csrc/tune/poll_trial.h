/* SPDX-License-Identifier: MIT
 *
 * Poll trial: whether the calls in flight cost less where both sides poll, or where
 * both sleep; where many workers run them, a few, or one after the other.  A model knows
 * what a wake-up takes, and not what polling and threads do to all else: which CPUs they
 * stand on, the fight for the GIL, caches, a server that has to answer them all.  So the
 * ways are taken in turn, and what a call comes to is measured.  Arithmetic only.
 *
 * The way by which a call costs less (call_costs.h) is taken, where the time that passes
 * counts twice, for it is waited for; of many and a few at a time that by which more calls
 * are made, for some wait for others, unless it costs clearly more.  Now and then the other
 * is tried, for a few calls where it is much worse, for more where it is nearly as good, and
 * not slower.  Where it seems better what was taken before is taken once more, for as long or
 * some milliseconds, and it is compared with what that costs then: CPUs that are shared with
 * others are now fast, now slow.  What trying costs comes out of a credit (trial_credit.h);
 * while the answer stays the same it is tried ever less often.
 */
#ifndef TPOOL_TUNE_POLL_TRIAL_H
#define TPOOL_TUNE_POLL_TRIAL_H

#include "tune/call_costs.h"

/* A way is a set of these; none: they are polled for, and run by many workers. */
enum way_bit {
    BIT_BLOCK,  /* nobody polls */
    BIT_SERIAL, /* one at a time, unless it sleeps or blocks */
    BIT_FEW, /* a few at a time, unless all of these do; not where it is serial */
    N_BITS,
};
#define N_WAYS (1 << N_BITS)

enum trial_verdict {
    TRIAL_NONE,  /* nothing has changed */
    TRIAL_BEGUN, /* the other way is taken, to see */
    TRIAL_DOUBTS, /* it seems better, and is left to see what it is better than */
    TRIAL_LOST,   /* it is left, or not taken again */
    TRIAL_WON,    /* it is taken again, and kept */
};

enum trial_stage {
    TRIAL_STEADY,
    TRIAL_SETTLES, /* what the other way was is not over yet */
    TRIAL_TRIES,
    TRIAL_DOUBTED,  /* the same, back again: it seems better */
    TRIAL_CHECKS,   /* what calls cost at present by what was taken before */
    TRIAL_RETURNS,  /* the same, back again */
    TRIAL_RECOVERS, /* what that has left is not over yet */
};

struct poll_trial {
    unsigned way;   /* that is taken now */
    int bit;        /* that is tried, or was last */
    unsigned flips; /* what that changes */
    enum trial_stage stage;
    bool warm;      /* an epoch is over */
    bool odd;       /* the last epoch was of another load, it seems */
    bool wakes;     /* after a pause: what that has left is not over yet */
    bool moment;    /* the trial has had one in which others ran, it seems */
    int thin;       /* epochs of the trial in which few were in flight */
    uint32_t full;  /* as many as were when it began */
    int lasted;     /* trials until what one leaves may be another load */
    unsigned alone; /* bits of which the next trial changes only that */
    int epochs;     /* of which its cost is the mean */
    int pauses;     /* since an epoch was over */
    uint32_t in_flight; /* in an epoch, when this load was new */
    bool crowd;         /* more than a few have run at once, of this load */
    int64_t cost_ns[N_WAYS]; /* of a call; 0: unknown */
    int64_t time_ns[N_WAYS]; /* the part of that which passes */
    /* The epoch is over with so many calls, and so long. */
    int64_t calls_min, ns_min;
    struct call_costs tried;
    struct call_costs found;     /* the same, while it is doubted */
    int64_t credit_ns;           /* that trying may cost */
    int64_t alike_ns;            /* for how long it has been this load */
    int64_t due_ns[N_BITS];      /* until the next */
    int64_t interval_ns[N_BITS]; /* between the last two */
};

void poll_trial_init(struct poll_trial *t);

/* Whether so many calls, in so long, are an epoch: poll_trial_next() is due. */
static inline bool poll_trial_is_due(const struct poll_trial *t, int64_t calls,
                                     int64_t ns)
{
    return calls >= t->calls_min && ns >= t->ns_min;
}

static inline bool poll_trial_is_on(const struct poll_trial *t)
{
    return t->stage == TRIAL_SETTLES || t->stage == TRIAL_TRIES;
}

/* The way that is taken, but for a trial. */
static inline unsigned poll_trial_kept(const struct poll_trial *t)
{
    return poll_trial_is_on(t) ? t->way ^ t->flips : t->way;
}

/* What was begun is not gone on with.  Whether that is the end of a trial, and it is lost. */
bool poll_trial_drop(struct poll_trial *t);

/*
 * No calls came for so long, or few, so many of which are still in flight.  What was begun is
 * gone on with; after a second pause in one epoch it is not: they come seldom.  Either way
 * the first calls that follow say nothing.  Whether a trial is lost by it.
 */
bool poll_trial_pause(struct poll_trial *t, int64_t ns, uint32_t in_flight);

/* An epoch is over, with so many calls in flight.  May change the way. */
enum trial_verdict poll_trial_next(struct poll_trial *t,
                                   const struct call_costs *epoch,
                                   uint32_t in_flight);

#endif
