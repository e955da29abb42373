/* SPDX-License-Identifier: MIT
 *
 * See trace_ring.h.
 */
#include "base/trace_ring.h"

#include <stdlib.h>

/* Atomic because a reader may look at a slot while its writer comes round. */
struct trace_slot {
    _Atomic int64_t time_ns;
    _Atomic int64_t kind;
    _Atomic uintptr_t id;
    _Atomic int64_t arg;
};

struct trace_ring {
    /* Immutable after init. */
    uint64_t thread;
    /* Its thread writes. */
    _Atomic uint64_t head;
    atomic_bool ended; /* the thread has; the ring goes once it is read */
    struct trace_slot slots[TRACE_RING_EVENTS];
    /* Protected by trace.lock. */
    uint64_t tail;
    struct trace_ring *next;
};

/* The thread's last use of its ring.  Release: pairs with free_ended(). */
static void ring_ended(void *ring)
{
    atomic_store_explicit(&((struct trace_ring *)ring)->ended, true,
                          memory_order_release);
}

int trace_init(struct trace *trace)
{
    atomic_init(&trace->on, false);
    trace->rings = NULL;
    trace->lost = 0;
    pthread_mutex_init(&trace->lock, NULL);
    return -pthread_key_create(&trace->key, ring_ended);
}

void trace_cleanup(struct trace *trace)
{
    struct trace_ring *ring, *next;

    pthread_key_delete(trace->key);
    for (ring = trace->rings; ring; ring = next) {
        next = ring->next;
        free(ring);
    }
    pthread_mutex_destroy(&trace->lock);
}

void trace_after_fork(struct trace *trace)
{
    pthread_mutex_init(&trace->lock, NULL);
}

static struct trace_ring *ring_of_this_thread(struct trace *trace)
{
    struct trace_ring *ring = pthread_getspecific(trace->key);

    if (!ring && (ring = calloc(1, sizeof(*ring)))) {
        ring->thread = (uint64_t)(uintptr_t)pthread_self();
        pthread_setspecific(trace->key, ring);
        pthread_mutex_lock(&trace->lock);
        ring->next = trace->rings;
        trace->rings = ring;
        pthread_mutex_unlock(&trace->lock);
    }
    return ring;
}

void trace_record(struct trace *trace, enum trace_kind kind, const void *id,
                  int64_t arg, int64_t time_ns)
{
    struct trace_ring *ring = ring_of_this_thread(trace);
    struct trace_slot *slot;
    uint64_t head;

    if (!ring) { /* no memory: an event lost, and counted */
        pthread_mutex_lock(&trace->lock);
        trace->lost++;
        pthread_mutex_unlock(&trace->lock);
        return;
    }
    head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    slot = &ring->slots[head % TRACE_RING_EVENTS];
    /* Release: who reads half of it sees the head before it, or a later one. */
    atomic_store_explicit(&slot->time_ns, time_ns, memory_order_release);
    atomic_store_explicit(&slot->kind, kind, memory_order_release);
    atomic_store_explicit(&slot->id, (uintptr_t)id, memory_order_release);
    atomic_store_explicit(&slot->arg, arg, memory_order_release);
    /* Release: pairs with the acquire in trace_read(). */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

/* Protected by lock.  Steps over what its writer has overwritten. */
static bool catch_up(struct trace *trace, struct trace_ring *ring,
                     uint64_t head)
{
    /* One slot less than the ring: the next to be written may be half so. */
    if (head - ring->tail < TRACE_RING_EVENTS) {
        return false;
    }
    trace->lost += head - ring->tail - (TRACE_RING_EVENTS - 1);
    ring->tail = head - (TRACE_RING_EVENTS - 1);
    return true;
}

static bool ring_read(struct trace *trace, struct trace_ring *ring,
                      struct trace_event *event)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

    do {
        struct trace_slot *slot;

        catch_up(trace, ring, head);
        if (ring->tail == head) {
            return false;
        }
        slot = &ring->slots[ring->tail % TRACE_RING_EVENTS];
        event->thread = ring->thread;
        event->time_ns = atomic_load_explicit(&slot->time_ns,
                                              memory_order_acquire);
        event->kind = (enum trace_kind)atomic_load_explicit(
            &slot->kind, memory_order_acquire);
        event->id = atomic_load_explicit(&slot->id, memory_order_acquire);
        event->arg = atomic_load_explicit(&slot->arg, memory_order_acquire);
        /* Overwritten meanwhile?  Then the copy is worthless: look again. */
        head = atomic_load_explicit(&ring->head, memory_order_acquire);
    } while (catch_up(trace, ring, head));
    ring->tail++;
    return true;
}

/* Protected by lock.  Gives back the rings of threads that have ended. */
static void free_ended(struct trace *trace)
{
    struct trace_ring **link = &trace->rings, *ring;

    while ((ring = *link)) {
        if (atomic_load_explicit(&ring->ended, memory_order_acquire) &&
            ring->tail ==
                atomic_load_explicit(&ring->head, memory_order_relaxed)) {
            *link = ring->next;
            free(ring);
        } else {
            link = &ring->next;
        }
    }
}

bool trace_read(struct trace *trace, struct trace_event *event)
{
    struct trace_ring *ring;
    bool found = false;

    pthread_mutex_lock(&trace->lock);
    for (ring = trace->rings; ring && !found; ring = ring->next) {
        found = ring_read(trace, ring, event);
    }
    if (!found) {
        free_ended(trace);
    }
    pthread_mutex_unlock(&trace->lock);
    return found;
}

void trace_clear(struct trace *trace)
{
    struct trace_ring *ring;

    pthread_mutex_lock(&trace->lock);
    for (ring = trace->rings; ring; ring = ring->next) {
        ring->tail = atomic_load_explicit(&ring->head, memory_order_acquire);
    }
    trace->lost = 0;
    free_ended(trace);
    pthread_mutex_unlock(&trace->lock);
}

uint64_t trace_lost(struct trace *trace)
{
    uint64_t lost;

    pthread_mutex_lock(&trace->lock);
    lost = trace->lost;
    pthread_mutex_unlock(&trace->lock);
    return lost;
}
