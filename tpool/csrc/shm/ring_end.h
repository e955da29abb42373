/* SPDX-License-Identifier: MIT
 *
 * Ring end: one side of a ring (ring_memory.h), the writer or one of the readers, as the
 * process has it that is that side.  It moves its position, and tells the others; it waits
 * for theirs to move; it sees that they have gone.
 *
 * The event index: who sleeps says for which position of the others, and who moves past it
 * rings.  Nobody rings for who is awake, so two that are busy make no system call:
 *
 *   mover                                   sleeper
 *   -----                                   -------
 *   P: position = new                       A: wake_at = what it waits to be passed
 *   L: wake_at in [old, new): ring          K: position past it: do not sleep
 *      else done, no system call               else sleep on the doorbell
 *
 * No wake-up is lost: P, L, A and K are sequentially consistent.  Suppose that the sleeper
 * sleeps for a position that has been passed, and nobody has rung.  K missed the P that
 * passes it, so K came before that P in the order of the four; hence A, K, P, L; so L has
 * read A's wake_at, or one that the same sleeper has stored later, and then that one is
 * awake.  With old <= wake_at < new it rings.  Of all moves one alone passes a position:
 * there is one ring for one A.  A wake_at that is behind the mover rings for nothing, never:
 * so an awake sleeper need not take it back.  (An A that K has ended may cost one ring.)
 *
 * Who comes or goes rings for all others, whatever they wait for: the owner of its place,
 * stored, then their doorbells, loaded; they store their doorbell before they load the
 * owner.  The same four, sequentially consistent.
 *
 * A process that dies cannot say so.  Who sleeps does it on the pidfds of the others as
 * well as on its doorbell, by an fd for all of them; who only looks asks them now and then
 * (ring_end_check()).
 *
 * One thread at a time, all but what says otherwise.
 */
#ifndef TPOOL_SHM_RING_END_H
#define TPOOL_SHM_RING_END_H

#include "shm/doorbell.h"
#include "shm/ring_memory.h"

/* Another side, as seen from here. */
struct ring_peer {
    uint64_t owner; /* whose pidfd that is */
    int pidfd;      /* -1: none yet */
    bool gone;      /* closed, or dead */
    bool died;      /* without having closed it */
};

/* What is waited for: that the side of that place is past a position. */
struct ring_want {
    uint32_t place;
    uint64_t position;
};

struct ring_end {
    struct ring_memory memory; /* immutable */
    uint32_t place;            /* 0: the writer's; immutable */
    int fd; /* readable: it is to look, and at the others too; immutable */
    struct doorbell bell;
    uint64_t position; /* its own; what is in the memory is for the others */
    uint64_t limit;    /* as far as it may go, as was last seen of the others */
    int64_t looked_ns; /* when it was last asked whether they live */
    int error;         /* 0, or what each call returns from now on */
    /* The others: of the writer the readers, by place; of a reader the writer. */
    uint32_t n_peers;
    struct ring_peer *peers;
    /* Figures. */
    uint64_t rings;  /* how often it woke another */
    uint64_t sleeps; /* how often it slept */
};

/*
 * Takes the writer's place, or the first free one of a reader, and rings for the others.
 * Returns 0; -EBUSY: there is none; or -errno.
 */
int ring_end_open(struct ring_end *e, const struct ring_memory *m, bool writes);

/* Gives it up, says so, and wakes who sleeps on the fd; ring_end_cleanup() has to follow. */
void ring_end_close(struct ring_end *e);

/* Lets go of the fds: nobody sleeps on one.  Alone in the child of a fork. */
void ring_end_cleanup(struct ring_end *e);

/* P and L. */
void ring_end_move(struct ring_end *e, uint64_t position);

/*
 * Whether another side is there: it has not closed, and is not known to have died.  A look
 * at memory, no system call.
 */
bool ring_end_peer_is_there(struct ring_end *e, uint32_t n);

/*
 * Asks the system whether the others live.  rarely: only if it is a while ago that it was
 * asked.  Returns 0 or -errno: it could not be asked.
 */
int ring_end_check(struct ring_end *e, bool rarely);

/* What a side says when all others are gone: -EPIPE, or -ECONNRESET if one has died. */
int ring_end_lonely(const struct ring_end *e);

/* Any thread.  Whether it has come about. */
static inline bool ring_end_has(const struct ring_end *e,
                                const struct ring_want *want)
{
    const struct ring_place *p = &e->memory.places[want->place];

    /* Acquire: pairs with P in ring_end_move(). */
    return (int64_t)(atomic_load_explicit(&p->position, memory_order_acquire) -
                     want->position) > 0;
}

/*
 * A and K.  Returns 0: it may sleep, now; 1: there is something to be looked at; -errno:
 * it cannot be told if another side dies.
 */
int ring_end_arm(struct ring_end *e, const struct ring_want *want);

/* Has it rung for nobody: it is awake.  One that rings now may do so for nothing. */
void ring_end_disarm(struct ring_end *e);

#endif
