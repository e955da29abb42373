/* SPDX-License-Identifier: MIT
 *
 * SimpleQueue: any thread puts objects into it and gets them out, the oldest first.  Who
 * finds none polls for one without the GIL, and then sleeps: queue/word_wait.h.
 *
 * The objects, and the getters that wait for one, are touched with the GIL, and in a
 * free-threaded build the critical section of the queue, held; no Python code runs in
 * it, nor is anything allocated there that the collector counts.
 *
 * A getter that waits has a word of its own and stands in a list.  Who puts an object
 * into the queue takes one getter off the list, and sets its word; the object stays in
 * the queue.  The getter, awake, takes what is there.  If another one has been faster
 * it waits again.
 *   An object that is put while getters wait has one coming for it: one that leaves
 *   without any, because a signal handler has raised, sends another in its place.
 *   An object that is put while none waits is seen by the next: it looks before it
 *   joins the list, and both are one step.
 * No getter stands in the list while Python code runs in its thread: the child of a
 * fork has the forking thread, and none of those in the list; and when Python ends it is
 * in one thread, and those in the list come back no more.
 */
#ifndef TPOOL_POOL_SIMPLE_QUEUE_H
#define TPOOL_POOL_SIMPLE_QUEUE_H

#include "py/state.h"
#include "queue/ring.h"
#include "queue/word_wait.h"

struct getter;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    struct module_state *state; /* immutable */
    /* GIL, or critical section. */
    struct ring items;
    struct getter *first, *last; /* who polls is the first */
    uint32_t forks; /* state->forks when they were in this process */
    /* Any thread. */
    struct word_waits waits;
} SimpleQueueObject;

/* A new one, all 0.  poll_max_ns: as that of word_waits_init(). */
void simple_queue_init(SimpleQueueObject *self, struct module_state *state,
                       int64_t poll_max_ns);
/* Nobody has it any more, nothing is in it. */
void simple_queue_cleanup(SimpleQueueObject *self);

/* Any thread, all of them, GIL held.  Returns 0, or -1 with MemoryError. */
int simple_queue_put(SimpleQueueObject *self, PyObject *item);

/*
 * The oldest object; waits for one if it may (block), for timeout_ns (-1: for ever).
 * NULL with queue.Empty, or what a signal handler has raised.
 */
PyObject *simple_queue_get(SimpleQueueObject *self, bool block,
                           int64_t timeout_ns);

/* The oldest object, or NULL: there is none. */
PyObject *simple_queue_pop(SimpleQueueObject *self);

size_t simple_queue_count(SimpleQueueObject *self);

#endif
