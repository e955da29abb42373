/* SPDX-License-Identifier: MIT
 *
 * Notify: the protocol step by step in one thread, then three posters of nodes
 * and one of bare notifications against an owner that polls, blocks, times out.
 */
#include "stress.h"
#include "aio/fdmon.h"
#include "aio/notify.h"

#define POSTERS 3

static struct notify notify;
static struct completion_list list;
static struct fdmon monitor;
static uint64_t rounds = 10000;
static atomic_int running;

struct item {
    struct completion_node link;
    uint64_t number; /* plain on purpose */
    atomic_bool free;
};

static struct item items[POSTERS][2];

static bool readable(void)
{
    struct fdmon_event events[FDMON_BATCH];

    return fdmon_wait(&monitor, 0, events) == 1;
}

static uint64_t writes(void)
{
    return atomic_load_explicit(&notify.writes, memory_order_relaxed);
}

static void post(struct completion_node *node)
{
    completion_list_push(&list, node);
    notify_post(&notify);
}

/* Another one follows. */
static void post_early(struct completion_node *node)
{
    completion_list_push(&list, node);
    notify_post_early(&notify);
}

/* A nap: what comes early does not end it, what comes last does; a block it does. */
static void test_nap(void)
{
    struct completion_node a, b;
    uint64_t before = writes();

    notify_raise(&notify, NOTIFY_STEP);
    assert(notify_may_nap(&notify, &list));
    assert(notify_me(&notify) == NOTIFY_STEP);
    post_early(&a);
    assert(writes() == before && !readable());
    post(&b);
    assert(writes() == before + 1 && readable());
    notify_unblock(&notify);
    notify_accept(&notify, false);
    /* What came meanwhile is seen before the next. */
    assert(!notify_may_nap(&notify, &list));
    completion_list_take(&list);
    assert(notify_may_block(&notify, &list));
    post_early(&a);
    assert(writes() == before + 2);
    notify_unblock(&notify);
    notify_accept(&notify, false);
    notify_lower(&notify, NOTIFY_STEP);
    assert(notify_me(&notify) == 0);
    completion_list_take(&list);
}

static void test_one_thread(void)
{
    struct completion_node a, b;

    /* Nobody polls: no write, no flag. */
    post(&a);
    assert(writes() == 0 && !notify_is_notified(&notify));
    assert(completion_list_take(&list) == &a);
    /* Poll phase: the same (B). */
    notify_raise(&notify, NOTIFY_STEP);
    assert(notify_me(&notify) == 2);
    post(&a);
    assert(writes() == 0 && !notify_is_notified(&notify));
    /* Something is there: no block, and what is posted then is not written. */
    assert(!notify_may_block(&notify, &list));
    post(&b);
    assert(writes() == 0);
    assert(completion_list_take(&list) == &a && a.next == &b);
    /* Blocked: one write for any number of posts. */
    assert(notify_may_block(&notify, &list));
    post(&a);
    post(&b);
    assert(writes() == 1 && readable() && !notify_is_notified(&notify));
    assert(notify_me(&notify) == 2);
    notify_unblock(&notify);
    notify_lower(&notify, NOTIFY_STEP);
    assert(notify_me(&notify) == 0);
    notify_accept(&notify, false);
    assert(!readable() && !notify_is_notified(&notify));
    completion_list_take(&list);
    /* Drained although the poster has not said yet that it wrote. */
    event_notifier_set(&notify.notifier);
    notify_accept(&notify, true);
    assert(!readable());
    /* A bare notification sticks until it is accepted; nested raises. */
    notify_raise(&notify, NOTIFY_FOREIGN);
    notify_raise(&notify, NOTIFY_STEP);
    notify_bare(&notify);
    assert(writes() == 1 && !notify_may_block(&notify, &list));
    notify_accept(&notify, false);
    assert(notify_may_block(&notify, &list));
    notify_bare(&notify);
    assert(writes() == 2 && readable());
    notify_unblock(&notify);
    notify_accept(&notify, false);
    assert(!readable());
    notify_lower(&notify, NOTIFY_STEP);
    assert(notify_me(&notify) == NOTIFY_FOREIGN);
    notify_lower(&notify, NOTIFY_FOREIGN);
}

static void *post_often(void *arg)
{
    int me = (int)(intptr_t)arg;
    struct rng r;

    rng_init(&r, (uint64_t)me);
    for (uint64_t i = 0; i < rounds; i++) {
        struct item *item = &items[me][i % 2];

        WAIT_UNTIL(atomic_load_explicit(&item->free, memory_order_acquire));
        atomic_store_explicit(&item->free, false, memory_order_relaxed);
        item->number = i;
        random_delay(&r);
        if (i + 1 < rounds && rng_below(&r, 2)) {
            post_early(&item->link);
        } else {
            post(&item->link);
        }
    }
    atomic_fetch_sub_explicit(&running, 1, memory_order_release);
    notify_bare(&notify);
    return NULL;
}

static void *notify_often(void *arg)
{
    struct rng r;

    rng_init(&r, 77);
    for (uint64_t i = 0; i < rounds; i++) {
        random_delay(&r);
        notify_bare(&notify);
    }
    atomic_fetch_sub_explicit(&running, 1, memory_order_release);
    notify_bare(&notify);
    return arg;
}

/* The owner's whole protocol once; returns whether it announced a block. */
static bool turn(struct rng *r, uint64_t expected[POSTERS])
{
    struct fdmon_event events[FDMON_BATCH];
    struct completion_node *node, *next;
    bool progress = false, fired = false, announced, naps = !rng_below(r, 4);

    notify_raise(&notify, NOTIFY_STEP);
    for (uint32_t n = rng_below(r, 60); n && !progress; n--) {
        progress = completion_list_peek(&list) || notify_is_notified(&notify);
    }
    announced = !progress; /* also where it is withdrawn: it may be seen */
    if (!progress && (naps ? notify_may_nap(&notify, &list)
                           : notify_may_block(&notify, &list))) {
        int64_t timeout_ns = !naps && rng_below(r, 4)
                                 ? STRESS_DEADLINE_NS
                                 : (int64_t)rng_below(r, 3000);
        int n = fdmon_wait(&monitor, timeout_ns, events);

        assert(n >= 0 && (n > 0 || timeout_ns < STRESS_DEADLINE_NS));
        fired = n > 0;
        notify_unblock(&notify);
    }
    assert(notify_me(&notify) == NOTIFY_STEP);
    notify_lower(&notify, NOTIFY_STEP);
    notify_accept(&notify, fired);
    for (node = completion_list_take(&list); node; node = next) {
        struct item *item = container_of(node, struct item, link);
        int poster = (int)((item - items[0]) / 2);

        next = node->next;
        assert(item->number == expected[poster]++);
        atomic_store_explicit(&item->free, true, memory_order_release);
    }
    return announced;
}

int main(int argc, char **argv)
{
    uint64_t expected[POSTERS] = {0}, blocks = 0, before;
    pthread_t threads[POSTERS + 1];
    struct rng r;

    rounds = count_arg(argc, argv, rounds);
    completion_list_init(&list);
    assert(notify_init(&notify) == 0 && fdmon_init(&monitor) == 0);
    assert(fdmon_set(&monitor, notify.notifier.rfd, 0, FDMON_READ) == 0);
    test_one_thread();
    test_nap();
    for (int i = 0; i < POSTERS; i++) {
        atomic_init(&items[i][0].free, true);
        atomic_init(&items[i][1].free, true);
    }
    before = writes();
    rng_init(&r, 5);
    atomic_init(&running, POSTERS + 1);
    for (int i = 0; i < POSTERS; i++) {
        threads[i] = thread_start(post_often, (void *)(intptr_t)i);
    }
    threads[POSTERS] = thread_start(notify_often, NULL);
    while (atomic_load_explicit(&running, memory_order_acquire)) {
        blocks += turn(&r, expected);
    }
    for (int i = 0; i <= POSTERS; i++) {
        thread_join(threads[i]);
    }
    /* At rest a readable notifier is announced (W): accept() drains it. */
    notify_accept(&notify, false);
    assert(!readable() && !notify_is_notified(&notify));
    while (completion_list_peek(&list)) {
        turn(&r, expected);
    }
    for (int i = 0; i < POSTERS; i++) {
        assert(expected[i] == rounds);
    }
    assert(notify_me(&notify) == 0);
    assert(writes() - before <= blocks); /* B */
    fdmon_cleanup(&monitor);
    notify_cleanup(&notify);
    printf("notify: %llu posts, %llu blocks, %llu writes\n",
           (unsigned long long)((POSTERS + 1) * rounds),
           (unsigned long long)blocks, (unsigned long long)(writes() - before));
    return 0;
}
