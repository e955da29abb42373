/* SPDX-License-Identifier: MIT
 *
 * See ring_end.h.
 */
#include "shm/ring_end.h"
#include "base/clock.h"
#include "shm/fd_union.h"
#include "shm/process.h"

#include <stdlib.h>
#include <unistd.h>

/* Whether the others live is asked so often, where nobody sleeps: a system call. */
#define CHECK_NS (10 * NS_PER_MS)

static struct ring_place *place_of(const struct ring_end *e, uint32_t i)
{
    return &e->memory.places[i];
}

/* The place of the nth peer: the readers stand behind the writer. */
static struct ring_place *peer_place(const struct ring_end *e, uint32_t n)
{
    return place_of(e, e->place ? 0 : n + 1);
}

static void ring(struct ring_end *e, struct ring_place *p)
{
    /* Sequentially consistent: see ring_end.h, who comes or goes. */
    uint32_t number = atomic_load_explicit(&p->doorbell, memory_order_seq_cst);

    if (number) {
        /* Relaxed: a figure. */
        atomic_store_explicit(&p->rung_ns, clock_now_ns(),
                              memory_order_relaxed);
        doorbell_ring(&e->bell, number);
        e->rings++;
    }
}

static void ring_all(struct ring_end *e)
{
    for (uint32_t n = 0; n < e->n_peers; n++) {
        if (!e->peers[n].gone) { /* its number may be another one's by now */
            ring(e, peer_place(e, n));
        }
    }
}

static int take_place(struct ring_end *e, bool writes, uint64_t me)
{
    uint32_t last = writes ? 0 : e->memory.readers;

    for (uint32_t i = writes ? 0 : 1; i <= last; i++) {
        struct ring_place *p = place_of(e, i);
        uint64_t free = RING_FREE;

        /* Sequentially consistent: see ring_end.h, who comes or goes. */
        if (atomic_compare_exchange_strong_explicit(&p->owner, &free, me,
                                                    memory_order_seq_cst,
                                                    memory_order_relaxed)) {
            e->place = i;
            return 0;
        }
    }
    return -EBUSY;
}

/* The fds of its own.  Returns 0 or -errno; ring_end_cleanup() has to follow. */
static int open_fds(struct ring_end *e)
{
    int ret = doorbell_open(&e->bell);

    if (ret == 0) {
        e->fd = ret = fd_union_open();
    }
    return ret < 0 ? ret : fd_union_add(e->fd, e->bell.fd);
}

int ring_end_open(struct ring_end *e, const struct ring_memory *m, bool writes)
{
    uint64_t me;
    int ret = process_self(&me);

    *e = (struct ring_end){.memory = *m, .fd = -1, .bell = DOORBELL_NONE};
    e->peers = malloc((writes ? m->readers : 1) * sizeof(*e->peers));
    if (!e->peers) {
        return -ENOMEM;
    }
    while (e->n_peers < (writes ? m->readers : 1)) {
        e->peers[e->n_peers++] = (struct ring_peer){.pidfd = -1};
    }
    ret = ret < 0 ? ret : open_fds(e);
    ret = ret < 0 ? ret : take_place(e, writes, me);
    if (ret < 0) {
        ring_end_cleanup(e);
        return ret;
    }
    /* Sequentially consistent: before it looks for the others. */
    atomic_store_explicit(&place_of(e, e->place)->doorbell, e->bell.number,
                          memory_order_seq_cst);
    ring_all(e);
    return 0;
}

void ring_end_close(struct ring_end *e)
{
    struct ring_place *mine = place_of(e, e->place);

    /* Relaxed: who has yet to see it rings once for nobody. */
    atomic_store_explicit(&mine->doorbell, 0, memory_order_relaxed);
    atomic_store_explicit(&mine->owner, RING_CLOSED, memory_order_seq_cst);
    ring_all(e);
    doorbell_ring(&e->bell, e->bell.number);
}

void ring_end_cleanup(struct ring_end *e)
{
    for (uint32_t n = 0; n < e->n_peers; n++) {
        if (e->peers[n].pidfd >= 0) {
            close(e->peers[n].pidfd);
        }
    }
    free(e->peers);
    e->peers = NULL;
    e->n_peers = 0;
    if (e->fd >= 0) {
        close(e->fd);
        e->fd = -1;
    }
    doorbell_close(&e->bell);
}

void ring_end_move(struct ring_end *e, uint64_t position)
{
    struct ring_place *mine = place_of(e, e->place);
    uint64_t old = e->position;

    e->position = position;
    /* P: releases the message, or the room of one. */
    atomic_store_explicit(&mine->position, position, memory_order_seq_cst);
    for (uint32_t n = 0; n < e->n_peers; n++) {
        struct ring_place *p = peer_place(e, n);
        /* L */
        uint64_t wake_at = atomic_load_explicit(&p->wake_at,
                                                memory_order_seq_cst);

        if (wake_at - old < position - old && !e->peers[n].gone) {
            ring(e, p);
        }
    }
}

/* It has gone, and what for. */
static void lose(struct ring_end *e, struct ring_peer *peer, bool died)
{
    peer->gone = true;
    peer->died = died;
    if (peer->pidfd >= 0) {
        fd_union_remove(e->fd, peer->pidfd);
        close(peer->pidfd);
        peer->pidfd = -1;
    }
}

bool ring_end_peer_is_there(struct ring_end *e, uint32_t n)
{
    struct ring_peer *peer = &e->peers[n];

    /* Acquire: what it has moved before it closed is seen by a look after this. */
    if (!peer->gone &&
        atomic_load_explicit(&peer_place(e, n)->owner, memory_order_acquire) ==
            RING_CLOSED) {
        lose(e, peer, false);
    }
    return !peer->gone;
}

/* Has the fd tell of its death.  Returns 0 or -errno: -ESRCH: it is dead. */
static int watch(struct ring_end *e, struct ring_peer *peer, uint64_t owner)
{
    int fd = process_open(owner), ret;

    if (fd < 0) {
        return fd;
    }
    ret = fd_union_add(e->fd, fd);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    peer->pidfd = fd;
    peer->owner = owner;
    return 0;
}

/* Gets to know its process.  Returns 0 or -errno. */
static int meet(struct ring_end *e, uint32_t n)
{
    struct ring_peer *peer = &e->peers[n];
    /* Sequentially consistent: see ring_end.h, who comes or goes. */
    uint64_t owner = atomic_load_explicit(&peer_place(e, n)->owner,
                                          memory_order_seq_cst);
    int ret;

    if (peer->gone || owner == peer->owner) {
        return 0;
    }
    if (owner == RING_CLOSED || peer->owner != RING_FREE) {
        lose(e, peer,
             owner != RING_CLOSED); /* nobody changes from one to another */
        return 0;
    }
    ret = watch(e, peer, owner);
    if (ret == -ESRCH) {
        lose(e, peer, true);
        ret = 0;
    }
    return ret;
}

int ring_end_check(struct ring_end *e, bool rarely)
{
    int64_t now_ns = clock_now_ns();

    if (rarely && now_ns - e->looked_ns < CHECK_NS) {
        return 0;
    }
    e->looked_ns = now_ns;
    for (uint32_t n = 0; n < e->n_peers; n++) {
        struct ring_peer *peer = &e->peers[n];
        int ret = meet(e, n);

        if (ret < 0) {
            return ret;
        }
        if (peer->pidfd >= 0 && process_is_dead(peer->pidfd)) {
            /* It may have closed before. */
            lose(e, peer,
                 atomic_load_explicit(&peer_place(e, n)->owner,
                                      memory_order_acquire) != RING_CLOSED);
        }
    }
    return 0;
}

int ring_end_lonely(const struct ring_end *e)
{
    for (uint32_t n = 0; n < e->n_peers; n++) {
        if (e->peers[n].died) {
            return -ECONNRESET;
        }
    }
    return -EPIPE;
}

int ring_end_arm(struct ring_end *e, const struct ring_want *want)
{
    bool any_gone = false;
    int ret;

    /* Before A: what it is rung for after A stays. */
    doorbell_drain(&e->bell);
    /* A */
    atomic_store_explicit(&place_of(e, e->place)->wake_at, want->position,
                          memory_order_seq_cst);
    for (uint32_t n = 0; n < e->n_peers; n++) {
        bool was_gone = e->peers[n].gone;

        ret = meet(e, n);
        if (ret < 0) {
            return ret;
        }
        any_gone |= e->peers[n].gone && !was_gone;
    }
    /* K: sequentially consistent. */
    return any_gone ||
           (int64_t)(atomic_load_explicit(&place_of(e, want->place)->position,
                                          memory_order_seq_cst) -
                     want->position) > 0;
}

void ring_end_disarm(struct ring_end *e)
{
    /* Relaxed: it is a hint. */
    atomic_store_explicit(&place_of(e, e->place)->wake_at, UINT64_MAX,
                          memory_order_relaxed);
}
