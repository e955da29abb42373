/* SPDX-License-Identifier: MIT
 *
 * The heap of timers against a plain list of what must go off: order, references,
 * what callbacks do to it, no memory; and another thread that asks what is set.
 */
#include "stress.h"
#include "aio/timer_heap.h"

#include <string.h>

#define TIMERS 64
#define ROUNDS 20000

struct counted {
    struct timer timer;
    int refs; /* of the heap: as the list has it */
    int fired;
};

static struct timer_heap heap;
static struct counted timers[TIMERS];
static struct timer *fired[2 * TIMERS];
static int n_fired;
static int (*on_fire)(struct timer *t);

static struct counted *counted(struct timer *t)
{
    return container_of(t, struct counted, timer);
}

static int fire(struct timer *t)
{
    assert(!timer_is_set(t) && counted(t)->refs == 1);
    counted(t)->refs = 0;
    counted(t)->fired++;
    fired[n_fired++] = t;
    return on_fire ? on_fire(t) : 0;
}

static void drop(struct timer *t)
{
    assert(!timer_is_set(t) && counted(t)->refs == 1);
    counted(t)->refs = 0;
    timers_cancel(&heap, t); /* whoever is told may come back */
}

static const struct timer_ops ops = {.fire = fire, .drop = drop};

/* -Wl,--wrap=realloc */
static bool no_memory;
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
    return no_memory ? NULL : __real_realloc(p, size);
}

static void set(struct counted *c, int64_t expire_ns, bool anticipate)
{
    int ret = timers_mod(&heap, &c->timer, expire_ns, anticipate);

    assert(ret == !c->refs && timer_is_set(&c->timer));
    c->refs = 1;
}

static void cancel(struct counted *c)
{
    assert(timers_cancel(&heap, &c->timer) == (c->refs == 1));
    assert(!timer_is_set(&c->timer));
    c->refs = 0;
}

static int dispatch(void)
{
    bool progress = false;
    int ret;

    n_fired = 0;
    ret = timers_dispatch(&heap, &progress);
    assert(progress == (n_fired > 0) && heap.dispatch_ns == 0);
    return ret;
}

static void begin(void)
{
    memset(timers, 0, sizeof(timers));
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&timers[i].timer, &ops);
    }
    on_fire = NULL;
}

/* Those of equal times in the order in which they were set. */
static void test_order(void)
{
    begin();
    for (int i = 0; i < TIMERS; i++) {
        set(&timers[i], 1 + i % 4, false);
    }
    assert(timers_timeout_ns(&heap) == 0 && timers_expire_ns(&heap) == 1);
    assert(dispatch() == 0 && n_fired == TIMERS);
    for (int i = 1; i < TIMERS; i++) {
        assert(fired[i]->expire_ns > fired[i - 1]->expire_ns ||
               (fired[i]->expire_ns == fired[i - 1]->expire_ns &&
                fired[i] > fired[i - 1]));
    }
    assert(timers_timeout_ns(&heap) == -1 && timers_expire_ns(&heap) == -1);
}

static int set_again(struct timer *t)
{
    if (counted(t)->fired < 3) {
        set(counted(t), 0, false);
        assert(t->expire_ns > heap.dispatch_ns); /* not for this dispatch */
    }
    return 0;
}

static int dispatch_inside(struct timer *t)
{
    bool progress = false;

    on_fire = NULL;
    set(counted(t), 0, true);
    assert(timers_dispatch(&heap, &progress) == 0 && progress);
    return -7;
}

/* What goes off sets itself again, turns the context, and ends the dispatch. */
static void test_callbacks(void)
{
    begin();
    on_fire = set_again;
    set(&timers[0], 1, false);
    for (int i = 1; i <= 3; i++) {
        assert(dispatch() == 0 && n_fired == 1 && timers[0].fired == i);
    }
    assert(dispatch() == 0 && n_fired == 0);

    on_fire = dispatch_inside;
    set(&timers[0], 1, false);
    set(&timers[1], 2, false);
    set(&timers[2], INT64_MAX, false);
    assert(dispatch() == -7 && n_fired == 3);
    assert(fired[1] == &timers[1].timer && fired[2] == &timers[0].timer);
    cancel(&timers[2]);
}

static int fail(struct timer *t)
{
    return t == &timers[1].timer ? -1 : 0;
}

/* The rest is left to the next dispatch. */
static void test_failure(void)
{
    begin();
    on_fire = fail;
    for (int i = 0; i < 3; i++) {
        set(&timers[i], i + 1, false);
    }
    assert(dispatch() == -1 && n_fired == 2 && timers[2].refs == 1);
    assert(dispatch() == 0 && n_fired == 1);
}

/* One that cannot be set is not; those that are set can be changed all the same. */
static void test_no_memory(void)
{
    int n = 0;

    begin();
    timers_cleanup(&heap);
    no_memory = true;
    assert(timers_mod(&heap, &timers[0].timer, 5, false) == -ENOMEM);
    assert(!timer_is_set(&timers[0].timer) && timers_expire_ns(&heap) == -1);
    no_memory = false;
    set(&timers[n++], 5, false);
    no_memory = true;
    while (heap.used < heap.size) {
        set(&timers[n++], 5, false);
    }
    assert(timers_mod(&heap, &timers[n].timer, 1, false) == -ENOMEM);
    assert(!timer_is_set(&timers[n].timer) && timers_expire_ns(&heap) == 5);
    set(&timers[0], 2, false);
    assert(timers_expire_ns(&heap) == 2);
    no_memory = false;
    timers_cleanup(&heap);
    for (int i = 0; i <= n; i++) {
        assert(timers[i].refs == 0 && timers[i].fired == 0);
    }
    timers_abandon(&heap);
}

static void check_heap(void)
{
    struct timer *soonest = NULL;
    ptrdiff_t n = 0;

    for (int i = 0; i < TIMERS; i++) {
        struct timer *t = &timers[i].timer;

        assert(timer_is_set(t) == (timers[i].refs == 1));
        n += timers[i].refs;
        if (timers[i].refs &&
            (!soonest || t->expire_ns < soonest->expire_ns ||
             (t->expire_ns == soonest->expire_ns && t->seq < soonest->seq))) {
            soonest = t;
        }
    }
    assert(heap.used == n && (!soonest || heap.timers[0] == soonest));
}

static pthread_mutex_t context = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool done;

static void *ask(void *arg)
{
    uint64_t *seen = arg;

    while (!atomic_load_explicit(&done, memory_order_acquire)) {
        for (int i = 0; i < TIMERS; i++) {
            *seen += timer_is_set(&timers[i].timer);
        }
    }
    return NULL;
}

/* Two threads change it in turn, a third asks without the context. */
static void *change(void *arg)
{
    const int64_t far_ns = INT64_MAX / 2;
    struct rng r;

    rng_init(&r, *(uint64_t *)arg);
    for (int round = 0; round < ROUNDS; round++) {
        struct counted *c = &timers[rng_below(&r, TIMERS)];
        uint32_t what = rng_below(&r, 16);

        pthread_mutex_lock(&context);
        if (what < 5) {
            cancel(c);
        } else if (what < 7) {
            assert(dispatch() == 0);
        } else {
            set(c, (what & 1 ? far_ns : 1) + rng_below(&r, 8), what & 2);
        }
        check_heap();
        pthread_mutex_unlock(&context);
        random_delay(&r);
    }
    return NULL;
}

static uint64_t test_threads(void)
{
    uint64_t seeds[2] = {1, 2}, seen = 0;
    pthread_t asker, changer;

    begin();
    asker = thread_start(ask, &seen);
    changer = thread_start(change, &seeds[0]);
    change(&seeds[1]);
    thread_join(changer);
    atomic_store_explicit(&done, true, memory_order_release);
    thread_join(asker);
    timers_cleanup(&heap);
    check_heap();
    return seen;
}

int main(void)
{
    test_order();
    test_callbacks();
    test_failure();
    test_no_memory();
    printf("timer_heap: %llu seen set\n", (unsigned long long)test_threads());
    return 0;
}
