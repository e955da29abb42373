/* SPDX-License-Identifier: MIT
 *
 * The way of work from its submitter to the queue.
 */
#ifndef TPOOL_POOL_SUBMIT_H
#define TPOOL_POOL_SUBMIT_H

#include "pool/pool_object.h"

/* Any thread, GIL held: 0 while work is accepted, or -1 with an exception. */
int pool_check_up(PoolObject *self);

/* The same.  Counts n more as queued; waits for room where the pool is to block. */
int pool_reserve(PoolObject *self, uint32_t n);

/*
 * The same.  Hands a chain of n reserved ones for one callable over; the chain's
 * references go with it.  Returns 0, or -1 with an exception: no worker could be
 * started and none is there, or a signal handler raised; the caller takes back what it
 * can.
 */
int pool_push(struct pool_core *pool, struct work *newest, struct work *oldest,
              uint32_t n, int64_t submit_ns);

/* The same, after a push that failed: forgets w unless a worker has it already. */
void pool_take_back(struct pool_core *pool, struct work *w);

/*
 * The same.  Queues one that is new, with a reference of the queue's.  Returns 0, or -1
 * with an exception, and it is not queued.
 */
int pool_submit_work(PoolObject *self, struct work *w, int64_t submit_ns);

/*
 * GIL held, counted in waiters.  Until pool_room() is called, or for some milliseconds.
 * Returns 0, or -1 with an exception of a signal handler.
 */
int pool_wait_a_moment(struct pool_core *pool);

/* Methods of a ThreadPool: submit_requests.c. */
PyObject *pool_submit(PoolObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames);
PyObject *pool_submit_for(PoolObject *self, PyObject *const *args,
                          Py_ssize_t nargs);
PyObject *pool_submit_many(PoolObject *self, PyObject *args);

#endif
