/* SPDX-License-Identifier: MIT
 *
 * See timer_heap.h.
 */
#include "aio/timer_heap.h"

#include <stdlib.h>
#include <string.h>

static ptrdiff_t index_of(const struct timer *t)
{
    return atomic_load_explicit(&((struct timer *)t)->index,
                                memory_order_relaxed);
}

/* Relaxed: any thread may ask whether it is set, and hears what was true. */
static void set_index(struct timer *t, ptrdiff_t index)
{
    atomic_store_explicit(&t->index, index, memory_order_relaxed);
}

static bool sooner(const struct timer *a, const struct timer *b)
{
    return a->expire_ns < b->expire_ns ||
           (a->expire_ns == b->expire_ns && a->seq < b->seq);
}

static void place(struct timer_heap *heap, ptrdiff_t i, struct timer *t)
{
    heap->timers[i] = t;
    set_index(t, i);
}

static void sift_up(struct timer_heap *heap, ptrdiff_t i, struct timer *t)
{
    while (i > 0 && sooner(t, heap->timers[(i - 1) / 2])) {
        place(heap, i, heap->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(heap, i, t);
}

static void sift_down(struct timer_heap *heap, ptrdiff_t i, struct timer *t)
{
    ptrdiff_t child;

    while ((child = 2 * i + 1) < heap->used) {
        if (child + 1 < heap->used &&
            sooner(heap->timers[child + 1], heap->timers[child])) {
            child++;
        }
        if (!sooner(heap->timers[child], t)) {
            break;
        }
        place(heap, i, heap->timers[child]);
        i = child;
    }
    place(heap, i, t);
}

static void take_out(struct timer_heap *heap, struct timer *t)
{
    ptrdiff_t i = index_of(t);
    struct timer *last = heap->timers[--heap->used];

    set_index(t, TIMER_NOT_SET);
    if (last != t) {
        sift_down(heap, i, last);
        sift_up(heap, index_of(last), last);
    }
}

static int make_room(struct timer_heap *heap)
{
    ptrdiff_t size = heap->size ? 2 * heap->size : 16;
    struct timer **timers = realloc(heap->timers,
                                    (size_t)size * sizeof(*timers));

    if (!timers) {
        return -ENOMEM;
    }
    heap->timers = timers;
    heap->size = size;
    return 0;
}

int timers_mod(struct timer_heap *heap, struct timer *t, int64_t expire_ns,
               bool anticipate)
{
    bool is_new = !timer_is_set(t);

    if (expire_ns <= heap->dispatch_ns) {
        /* Set by one that goes off: for the next turn, behind all due now. */
        expire_ns = heap->dispatch_ns + 1;
    }
    if (is_new && heap->used == heap->size && make_room(heap) < 0) {
        return -ENOMEM;
    }
    if (!is_new && anticipate && expire_ns >= t->expire_ns) {
        return 0;
    }
    if (!is_new) {
        take_out(heap, t);
    }
    t->expire_ns = expire_ns;
    t->seq = ++heap->seq;
    sift_up(heap, heap->used++, t);
    return is_new;
}

bool timers_cancel(struct timer_heap *heap, struct timer *t)
{
    bool was_set = timer_is_set(t);

    if (was_set) {
        take_out(heap, t);
    }
    return was_set;
}

void timers_abandon(struct timer_heap *heap)
{
    for (ptrdiff_t i = 0; i < heap->used; i++) {
        set_index(heap->timers[i], TIMER_NOT_SET);
    }
    heap->timers = NULL;
    heap->used = heap->size = 0;
}

void timers_cleanup(struct timer_heap *heap)
{
    struct timer_heap old = *heap;

    /* All of them first: what is dropped can run code that comes back here. */
    timers_abandon(heap);
    for (ptrdiff_t i = 0; i < old.used; i++) {
        old.timers[i]->ops->drop(old.timers[i]);
    }
    free(old.timers);
}

int64_t timers_timeout_ns(const struct timer_heap *heap)
{
    return time_left_ns(timers_expire_ns(heap));
}

int64_t timers_expire_ns(const struct timer_heap *heap)
{
    return heap->used ? heap->timers[0]->expire_ns : -1;
}

int timers_dispatch(struct timer_heap *heap, bool *progress)
{
    int64_t now_ns, outer_ns = heap->dispatch_ns;
    int ret = 0;

    now_ns = heap->dispatch_ns = clock_now_ns();
    while (ret == 0 && heap->used && heap->timers[0]->expire_ns <= now_ns) {
        struct timer *t = heap->timers[0];

        take_out(heap, t);
        *progress = true;
        ret = t->ops->fire(t);
    }
    heap->dispatch_ns = outer_ns;
    return ret;
}
