/* SPDX-License-Identifier: MIT
 *
 * Completion list: four producers push the same few nodes over and over, singly
 * and in chains; the consumer gets each once and in each producer's order.
 */
#include "stress.h"
#include "queue/completion_list.h"

#define PRODUCERS 4
#define NODES     8 /* few, so that a node returns soon: there must be no ABA */
#define CHAIN     4

struct item {
    struct completion_node link;
    /* Plain on purpose: ThreadSanitizer sees whether the list publishes it. */
    int producer;
    uint64_t number;
    atomic_bool free;
};

static struct completion_list list;
static struct item items[PRODUCERS][NODES];
static uint64_t rounds = 30000;

static void *produce(void *arg)
{
    int me = (int)(intptr_t)arg;
    uint64_t number = 0, next = 0;
    struct rng r;

    rng_init(&r, (uint64_t)me);
    for (uint64_t i = 0; i < rounds; i++) {
        int n = 1 + (int)rng_below(&r, CHAIN);
        struct item *oldest = NULL, *newest = NULL;

        for (int k = 0; k < n; k++) {
            struct item *item = &items[me][next++ % NODES];

            WAIT_UNTIL(atomic_load_explicit(&item->free, memory_order_acquire));
            atomic_store_explicit(&item->free, false, memory_order_relaxed);
            item->producer = me;
            item->number = number++;
            item->link.next = newest ? &newest->link : NULL;
            newest = item;
            oldest = oldest ? oldest : item;
        }
        if (n == 1) {
            completion_list_push(&list, &newest->link);
        } else {
            completion_list_push_chain(&list, &newest->link, &oldest->link);
        }
        random_delay(&r);
    }
    return (void *)(uintptr_t)number;
}

int main(int argc, char **argv)
{
    uint64_t expected[PRODUCERS] = {0}, total = 0;
    pthread_t threads[PRODUCERS];
    int running = PRODUCERS;
    struct rng r;

    rounds = count_arg(argc, argv, rounds);
    rng_init(&r, 99);
    completion_list_init(&list);
    assert(!completion_list_peek(&list) && !completion_list_look(&list));
    assert(!completion_list_take(&list));
    for (int i = 0; i < PRODUCERS; i++) {
        for (int k = 0; k < NODES; k++) {
            atomic_init(&items[i][k].free, true);
        }
    }
    for (int i = 0; i < PRODUCERS; i++) {
        threads[i] = thread_start(produce, (void *)(intptr_t)i);
    }
    while (running || completion_list_look(&list)) {
        struct completion_node *node = completion_list_take(&list), *next;

        for (; node; node = next) {
            struct item *item = container_of(node, struct item, link);

            next = node->next;
            assert(item->number == expected[item->producer]++);
            total++;
            atomic_store_explicit(&item->free, true, memory_order_release);
        }
        random_delay(&r);
        /* The producers end by themselves; the consumer must not wait yet. */
        for (int i = 0; running && i < PRODUCERS; i++) {
            void *sent;

            if (threads[i] && pthread_tryjoin_np(threads[i], &sent) == 0) {
                threads[i] = 0;
                running--;
            }
        }
    }
    assert(total == expected[0] + expected[1] + expected[2] + expected[3]);
    assert(total >= PRODUCERS * rounds);
    printf("completion_list: %llu nodes\n", (unsigned long long)total);
    return 0;
}
