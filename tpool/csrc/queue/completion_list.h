/* SPDX-License-Identifier: MIT
 *
 * Completion list: a lock-free list with many producers and one consumer, which
 * takes everything at once, in order of arrival.
 *
 * Producers push on a stack; the owner exchanges the whole stack for an empty
 * one and turns it round.  Nobody pops a single node, so a node that is pushed,
 * taken and pushed again cannot deceive a producer's compare-and-swap (no ABA).
 *
 * Rules of access to completion_node.next:
 *  1. before the push it belongs to the producer;
 *  2. from the push to the take nobody writes it;
 *  3. after the take it belongs to the consumer.
 */
#ifndef TPOOL_QUEUE_COMPLETION_LIST_H
#define TPOOL_QUEUE_COMPLETION_LIST_H

#include "base/osdep.h"

struct completion_node {
    struct completion_node *next;
};

struct completion_list {
    /* Any thread.  Newest first. */
    _Atomic(struct completion_node *) head;
};

/* Before the list is shared. */
void completion_list_init(struct completion_list *list);

/*
 * Any thread.  Cannot fail and does not wait for anybody.  seq_cst: pairs with
 * completion_list_look() in the proofs of notify.h and request_queue.h.
 */
void completion_list_push(struct completion_list *list,
                          struct completion_node *node);

/*
 * Any thread.  Pushes a chain at one go: newest is its head and .next leads
 * back in time to oldest.
 */
void completion_list_push_chain(struct completion_list *list,
                                struct completion_node *newest,
                                struct completion_node *oldest);

/* Consumer.  Takes all; the oldest comes first.  NULL where there is none. */
struct completion_node *completion_list_take(struct completion_list *list);

/*
 * Any thread.  Whether something is there, for a busy wait.  Relaxed: who sees
 * a node takes it with acquire, who misses it looks again.
 */
static inline bool completion_list_peek(struct completion_list *list)
{
    struct completion_node *node = atomic_load_explicit(&list->head,
                                                        memory_order_relaxed);

    if (node) {
        prefetch_object(node); /* it is about to be taken */
    }
    return node != NULL;
}

/* Consumer.  The look after an announcement: see notify.h. */
bool completion_list_look(struct completion_list *list);

#endif
