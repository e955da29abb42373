/* SPDX-License-Identifier: MIT
 *
 * Call trial: which way the calls in flight of a core are made, and waited for, as what
 * they cost from epoch to epoch says; see poll_trial.h.  The way is in the core's
 * cpu_pair, where workers and waiters look.
 *
 * One thread at a time has it: the owner of a context, before and after each wait; of the
 * threads that wait for an executor's calls, or end them, one after the other.  Where one
 * thread alone waits, the time from the end of its wait to the next call is its own.  Else
 * all that passes counts: a worker does not see when the result is taken.
 */
#ifndef TPOOL_AIO_CALL_TRIAL_H
#define TPOOL_AIO_CALL_TRIAL_H

#include "aio/core.h"
#include "tune/poll_trial.h"

/* Who looks: how long who waits has polled, ever; -1: it is a worker. */
#define TRIAL_BY_WORKER (-1)

/* What has been spent, ever. */
struct call_spent {
    int64_t cpu_ns, own_cpu_ns; /* of the process, and of who looks */
    int64_t polled_ns;          /* of that; or TRIAL_BY_WORKER */
};

struct call_trial {
    /* Immutable after init. */
    struct aio_core *core;
    const void *name; /* in a trace */
    struct poll_trial trial;
    /* An epoch of it: what there was when it began, and has been since. */
    int64_t begin_ns, done;
    struct call_spent spent;
    pthread_t own;      /* who has looked then */
    bool anew;          /* it is to begin */
    int64_t flown_ns;   /* while a call was in flight */
    int64_t until_ns;   /* that is counted to here */
    uint32_t in_flight; /* at most, where a wait or a call has ended */
};

/* core outlives it. */
void call_trial_init(struct call_trial *t, struct aio_core *core,
                     const void *name);

/* Any thread, while nobody has it.  The way is the first again; nothing is known. */
void call_trial_reset(struct call_trial *t);

/*
 * Before a wait, or, where none is looked at, before call_trial_judge().  What was begun
 * long ago is not gone on with.  TRIAL_LOST: another way is taken.
 */
enum trial_verdict call_trial_look_back(struct call_trial *t, int64_t now_ns,
                                        int64_t polled_ns);

/* A wait for a call has ended, or a call.  Another way may be due: what has changed. */
enum trial_verdict call_trial_judge(struct call_trial *t, int64_t now_ns,
                                    int64_t polled_ns);

#endif
