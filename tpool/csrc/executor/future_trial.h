/* SPDX-License-Identifier: MIT
 *
 * Which way an executor's calls are made, and waited for, is measured: see call_trial.h.
 * Of the threads that wait for them, or end them, one at a time does it; the others go on.
 */
#ifndef TPOOL_EXECUTOR_FUTURE_TRIAL_H
#define TPOOL_EXECUTOR_FUTURE_TRIAL_H

#include "pool/pool_core.h"

/*
 * Any thread, with the GIL or without; never blocks.  A wait for a call has ended (waited),
 * or, in a worker, a call for which nobody waits.
 */
void future_trial_feed(struct pool_core *pool, bool waited);

#endif
