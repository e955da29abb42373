/* SPDX-License-Identifier: MIT
 *
 * Ring: one side or both of a ring of messages, in memory that the processes share.  Which
 * side this process is, it says by what it does first: it sends, or it receives.
 */
#ifndef TPOOL_RING_RING_OBJECT_H
#define TPOOL_RING_RING_OBJECT_H

#include "ring/ring_side.h"
#include "shm/ring_reader.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    struct module_state *state; /* immutable */
    int64_t poll_max_ns;        /* immutable */
    /* GIL, or critical section; see ring_side.h. */
    Py_buffer buffer; /* obj NULL: let go of */
    struct ring_memory memory;
    struct ring_side writer, reader;
    bool closed;
    uint32_t forks; /* state->forks when the sides were this process's */
} RingObject;

/*
 * Any thread, all of them, GIL held.  timeout_ns: 0: it does not wait; -1: for ever.
 * Return 1: done; 0: not in that time; -1 with an exception.
 */
int ring_send(RingObject *self, const void *data, size_t length,
              int64_t timeout_ns);
int ring_recv(RingObject *self, PyObject **message, int64_t timeout_ns);

/*
 * As ring_recv(), but the message stays where it is, and no other is given, until
 * ring_pass() with the number of that view: the reader moves on.
 */
int ring_front(RingObject *self, struct ring_message *m, uint64_t *view_number,
               int64_t timeout_ns);
void ring_pass(RingObject *self, const struct ring_message *m,
               uint64_t view_number);

/* One more hold on the memory.  0, or -1 with an exception. */
int ring_pin(RingObject *self, Py_buffer *memory);

/*
 * Its fd, readable when the side is to look again, or is closed: it stays until it is let go
 * of as often.  -1 with an exception.
 */
int ring_hold(RingObject *self, bool writes);
void ring_let_go(RingObject *self, bool writes);

/*
 * It is going to wait for that fd, for what the last try has missed.  1: it may; 0: it is to
 * try again; -1 with an exception.
 */
int ring_arm(RingObject *self, bool writes);

/* It looks by itself: nobody need tell it.  0, or -1 with an exception. */
int ring_disarm(RingObject *self, bool writes);

/* The fd was readable: whether it is for the death of another.  0, or -1. */
int ring_check(RingObject *self, bool writes);

/* Whether to try again: 1, 0; -1 with an exception. */
int ring_has_moved(RingObject *self, bool writes);

/* Closes it, and lets go of the memory as soon as nobody waits. */
void ring_close(RingObject *self);

#endif
