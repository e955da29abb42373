/* SPDX-License-Identifier: MIT
 *
 * See completion_list.h.
 */
#include "queue/completion_list.h"

void completion_list_init(struct completion_list *list)
{
    atomic_store_explicit(&list->head, NULL, memory_order_relaxed);
}

void completion_list_push(struct completion_list *list,
                          struct completion_node *node)
{
    completion_list_push_chain(list, node, node);
}

void completion_list_push_chain(struct completion_list *list,
                                struct completion_node *newest,
                                struct completion_node *oldest)
{
    /* Relaxed: the head is only compared, never looked into. */
    struct completion_node *head = atomic_load_explicit(&list->head,
                                                        memory_order_relaxed);

    do {
        oldest->next = head;
        /* Release half: publishes the node to completion_list_take(). */
    } while (!atomic_compare_exchange_weak_explicit(&list->head, &head, newest,
                                                    memory_order_seq_cst,
                                                    memory_order_relaxed));
}

struct completion_node *completion_list_take(struct completion_list *list)
{
    struct completion_node *node, *next, *oldest = NULL;

    /* Acquire: pairs with the push of each node in the chain. */
    node = atomic_exchange_explicit(&list->head, NULL, memory_order_acquire);
    for (; node; node = next) {
        next = node->next;
        node->next = oldest;
        oldest = node;
    }
    return oldest;
}

bool completion_list_look(struct completion_list *list)
{
    return atomic_load_explicit(&list->head, memory_order_seq_cst) != NULL;
}
