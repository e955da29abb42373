/* SPDX-License-Identifier: MIT
 *
 * One turn of a context as the owner takes it, poll phase and block and accept,
 * against three posters; and the bounds of the waits that have one.
 */
#include "stress.h"
#include "aio/call_trial.h"
#include "aio/handoff.h"
#include "base/os_thread.h"

#define POSTERS 3

static struct aio_core *core;
static struct trace trace; /* off */
static struct fdmon monitor;
static const struct aio_peeks none;
static uint64_t rounds = 10000;

struct item {
    struct completion_node link;
    uint64_t number; /* plain on purpose */
    atomic_bool free;
};

static struct item items[POSTERS];

static void *post_often(void *arg)
{
    int me = (int)(intptr_t)arg;
    struct item *item = &items[me];
    struct rng r;

    rng_init(&r, (uint64_t)me);
    for (uint64_t i = 0; i < rounds; i++) {
        WAIT_UNTIL(atomic_load_explicit(&item->free, memory_order_acquire));
        atomic_store_explicit(&item->free, false, memory_order_relaxed);
        item->number = i;
        random_delay(&r);
        aio_core_post(core, &item->link);
    }
    return NULL;
}

static uint64_t turn(struct rng *r, uint64_t expected[POSTERS])
{
    struct fdmon_event events[FDMON_BATCH];
    struct completion_node *node, *next;
    int64_t poll_ns = rng_below(r, 4) ? rng_below(r, 20000) : 0;
    uint64_t n = 0;

    bool fired = false;

    notify_raise(&core->notify, NOTIFY_STEP);
    if (!aio_poll_phase(core, clock_now_ns() + poll_ns, &none) &&
        notify_may_block(&core->notify, &core->list)) {
        fired = aio_poll_block(core, &monitor, STRESS_DEADLINE_NS, events) == 1;
        assert(fired);
    }
    notify_lower(&core->notify, NOTIFY_STEP);
    notify_accept(&core->notify, fired);
    for (node = completion_list_take(&core->list); node; node = next, n++) {
        struct item *item = container_of(node, struct item, link);

        next = node->next;
        assert(item->number == expected[item - items]++);
        atomic_store_explicit(&item->free, true, memory_order_release);
    }
    return n;
}

static void *end_batch(void *arg)
{
    atomic_store_explicit(&core->batching, 0, memory_order_relaxed);
    atomic_store_explicit(&core->cpus.owner_waits, 1, memory_order_relaxed);
    return arg;
}

/* The same when the owner sleeps. */
static void *end_batch_later(void *arg)
{
    os_thread_nap(50 * NS_PER_MS);
    return end_batch(arg);
}

/* It runs what it was told, and waits again, until it is told to end. */
static void *wait_often(void *arg)
{
    atomic_bool *ends = arg;
    uint32_t waits = 0;

    while (!atomic_load_explicit(ends, memory_order_relaxed)) {
        waits = !waits;
        atomic_store_explicit(&core->cpus.owner_waits, waits,
                              memory_order_relaxed);
    }
    return arg;
}

static uint32_t backs_vain(void)
{
    return atomic_load_explicit(&core->backs_vain, memory_order_relaxed);
}

/* Who has handed the GIL over waits for the owner to wait: ever less often in vain. */
static void test_back(void)
{
    atomic_bool ends = false;
    pthread_t thread;

    atomic_store_explicit(&core->cpus.owner_waits, 0, memory_order_relaxed);
    for (uint32_t vain = 1, posts = 1; vain <= 6; vain++, posts *= 2) {
        for (uint32_t i = 0; i < posts; i++) {
            int64_t begin_ns = clock_now_ns();

            assert(backs_vain() == vain - 1);
            aio_handoff_to_owner(core);
            assert(i < posts - 1 ||
                   clock_now_ns() - begin_ns >= HANDOFF_BACK_NS);
        }
        assert(backs_vain() == vain);
    }
    thread = thread_start(wait_often, &ends);
    do {
        aio_handoff_to_owner(core);
    } while (backs_vain());
    atomic_store_explicit(&ends, true, memory_order_relaxed);
    thread_join(thread);
    atomic_store_explicit(&core->cpus.owner_waits, 0, memory_order_relaxed);
}

/* Another way of making calls: how long who hands over waited in vain is forgotten. */
static void test_forget(void)
{
    struct call_trial trial;
    bool blocks = false;
    int64_t now_ns = clock_now_ns();

    call_trial_init(&trial, core, "calls");
    for (int changes = 0; changes < 3;) {
        aio_handoff_learn(core, false);
        call_trial_look_back(&trial, now_ns, TRIAL_BY_WORKER);
        /* Some were in flight all the time, and many are done. */
        now_ns += NS_PER_MS;
        counter_add(&core->done, 1000);
        call_trial_judge(&trial, now_ns, TRIAL_BY_WORKER);
        if (cpu_pair_blocks(&core->cpus) != blocks) {
            blocks = !blocks;
            changes++;
            assert(!backs_vain() && aio_handoff_is_due(core));
        }
    }
    call_trial_reset(&trial);
    aio_handoff_forget(core);
}

static int64_t cpu_now_ns(void)
{
    return cpu_time_of_process_ns(&core->cpus.time);
}

/* Both sides go by the way that is taken, also where a trial changes two things. */
static void test_ways(void)
{
    unsigned block = 1u << BIT_BLOCK, serial = 1u << BIT_SERIAL;
    unsigned before = 0, way = 0;
    struct call_trial trial;

    call_trial_init(&trial, core, "calls");
    atomic_store_explicit(&core->in_flight, 4, memory_order_relaxed);
    atomic_store_explicit(&core->flight_ns, cpu_now_ns(), memory_order_relaxed);
    call_trial_look_back(&trial, cpu_now_ns(), TRIAL_BY_WORKER);
    while (before != block || way != serial) {
        before = way;
        /* They compute all the time, by this clock, and cost less where nobody polls. */
        counter_add(&core->done, way == block ? 2 : 1);
        call_trial_judge(&trial, cpu_now_ns(), TRIAL_BY_WORKER);
        way = trial.trial.way;
        assert(cpu_pair_blocks(&core->cpus) == !!(way & block));
        assert((cpu_pair_abreast(&core->cpus) == 1) == !!(way & serial));
    }
    call_trial_reset(&trial);
    atomic_store_explicit(&core->in_flight, 0, memory_order_relaxed);
}

/* The owner waits for a batch until it should have ended, and a moment; no longer. */
static void test_batch(void)
{
    int64_t begin_ns, cpu_ns;
    pthread_t thread;

    begin_ns = clock_now_ns();
    aio_batch_begin(core, 0);
    aio_handoff_from_worker(core);
    assert(clock_now_ns() - begin_ns >= HANDOFF_NS);
    cpu_ns = clock_thread_cpu_ns();
    for (int i = 0; i < 1000; i++) {
        aio_handoff_from_worker(core);
    }
    assert(clock_thread_cpu_ns() - cpu_ns < 1000 * HANDOFF_NS / 2);
    aio_batch_end(core);
    /* One that goes on for long is slept through. */
    begin_ns = clock_now_ns();
    cpu_ns = clock_thread_cpu_ns();
    aio_batch_begin(core, 20 * NS_PER_MS);
    aio_handoff_from_worker(core);
    assert(clock_now_ns() - begin_ns >= 20 * NS_PER_MS + HANDOFF_NS);
    assert(clock_thread_cpu_ns() - cpu_ns < 2 * NS_PER_MS);
    aio_batch_end(core);
    aio_handoff_from_worker(core); /* there is none */
    /* One that ends before its time is noticed, after half of it. */
    begin_ns = clock_now_ns();
    aio_batch_begin(core, 1900 * NS_PER_MS);
    thread = thread_start(end_batch_later, NULL);
    aio_handoff_from_worker(core);
    assert(clock_now_ns() - begin_ns < 1500 * NS_PER_MS);
    thread_join(thread);
}

static void test_bounds(void)
{
    int64_t begin_ns = clock_now_ns();
    struct completion_node node;
    pthread_t thread;
    _Atomic uint32_t word = 2;
    struct aio_peeks words = {2, {{&word, 2, 2}, {&word, 1, 0}}};

    /* Only ever busy-waits for a partner on another CPU. */
    atomic_store_explicit(&core->cpus.usable, 2, memory_order_relaxed);
    assert(!aio_poll_progress(core));
    assert(!aio_poll_phase(core, begin_ns + NS_PER_MS, &none));
    assert(clock_now_ns() - begin_ns >= NS_PER_MS);
    atomic_store_explicit(&core->cpus.usable, 1, memory_order_relaxed);
    assert(!aio_poll_phase(core, INT64_MAX, &none));
    aio_core_post(core, &node);
    assert(aio_poll_progress(core) && aio_poll_phase(core, INT64_MAX, &none));
    assert(completion_list_take(&core->list) == &node);
    notify_bare(&core->notify);
    assert(aio_poll_phase(core, 0, &none));
    notify_accept(&core->notify, false);
    assert(!aio_poll_phase(core, 0, &words));
    atomic_store_explicit(&word, 6, memory_order_relaxed);
    assert(!aio_poll_phase(core, 0, &words)); /* not of the mask */
    atomic_store_explicit(&word, 7, memory_order_relaxed);
    assert(aio_poll_phase(core, INT64_MAX, &words));
    /* The hand-overs return although the other side never answers ... */
    atomic_store_explicit(&core->cpus.usable, 2, memory_order_relaxed);
    begin_ns = clock_now_ns();
    aio_handoff_from_owner(core);
    assert(clock_now_ns() - begin_ns >= HANDOFF_NS);
    test_batch();
    /* ... and when it does. */
    aio_batch_begin(core, 0);
    thread = thread_start(end_batch, NULL);
    WAIT_UNTIL(!atomic_load_explicit(&core->batching, memory_order_relaxed));
    aio_handoff_from_worker(core);
    thread_join(thread);
    aio_handoff_from_owner(core);
    /* The owner polls: who has notified it leaves it the GIL for a while. */
    assert(aio_owner_polls(core));
    begin_ns = clock_now_ns();
    aio_handoff_to_owner(core);
    assert(clock_now_ns() - begin_ns >= HANDOFF_TAKE_NS);
    assert(notify_may_block(&core->notify, &core->list));
    assert(!aio_owner_polls(core)); /* it sleeps */
    notify_unblock(&core->notify);
    atomic_store_explicit(&core->cpus.owner_waits, 0, memory_order_relaxed);
    assert(!aio_owner_polls(core)); /* it has the GIL */
    test_back();
}

int main(int argc, char **argv)
{
    uint64_t expected[POSTERS] = {0}, total = 0;
    pthread_t threads[POSTERS];
    struct rng r;

    rounds = count_arg(argc, argv, rounds);
    rng_init(&r, 11);
    assert(aio_core_new(&core, &trace) == 0 && fdmon_init(&monitor) == 0);
    assert(fdmon_set(&monitor, core->notify.notifier.rfd, 0, FDMON_READ) == 0);
    test_bounds();
    test_forget();
    test_ways();
    for (int i = 0; i < POSTERS; i++) {
        atomic_init(&items[i].free, true);
        threads[i] = thread_start(post_often, (void *)(intptr_t)i);
    }
    while (total < POSTERS * rounds) {
        total += turn(&r, expected);
    }
    for (int i = 0; i < POSTERS; i++) {
        thread_join(threads[i]);
        assert(expected[i] == rounds);
    }
    assert(notify_me(&core->notify) == 0);
    fdmon_cleanup(&monitor);
    aio_core_unref(core);
    printf("aio_poll: %llu posts\n", (unsigned long long)total);
    return 0;
}
