/* SPDX-License-Identifier: MIT
 *
 * The notify handshake in lock-step: the poster posts one node, or a bare
 * notification, after a random delay; the owner goes through its whole protocol
 * until it has it.  Prints at which operation a wake-up was lost, or a readable
 * notifier was left that nothing announces (invariants L and W of notify.h).
 *
 * Back-to-back stress never shows a lost wake-up; this does.
 */
#include "stress.h"
#include "aio/fdmon.h"
#include "aio/notify.h"

/* A blocked owner is asleep for real in one of so many blocks: that is slow. */
#define REAL_SLEEP 64
/*
 * The sleep after which a lost wake-up is looked for.  Short, for it needs no
 * margin: lost is what the poster has posted and nothing announces.
 */
#define WATCHDOG_NS (10 * NS_PER_MS)
/* Who naps sleeps through an early post, each time for as long as this. */
#define NAP_NS (20 * NS_PER_US)

static struct {
    struct notify notify;
    /*
     * On the line of notify.state on purpose: while the poster writes it, the
     * owner's announcement waits in its store buffer for the line, and its look
     * at the list, on another line, does not.
     */
    _Atomic uint32_t neighbour;
    _Alignas(CACHE_LINE) struct completion_list list;
    /* The poster has returned from this post. */
    _Alignas(CACHE_LINE) _Atomic uint64_t posted;
    /* The owner has got it. */
    _Alignas(CACHE_LINE) _Atomic uint64_t taken;
} s;

static struct completion_node node;
static struct fdmon monitor;
static struct fdmon_event events[FDMON_BATCH];
static uint64_t ops, seed;

/* Both sides know the kind of each operation. */
static bool is_bare(uint64_t op)
{
    return op * 0x9e3779b97f4a7c15ULL >> 60 == 0;
}

/* Who naps is not woken by it: nothing follows, but the nap ends. */
static bool is_early(uint64_t op)
{
    return !is_bare(op) && op * 0x9e3779b97f4a7c15ULL >> 59 & 1;
}

static void fail(const char *what, uint64_t op)
{
    printf("notify_lockstep: %s at %llu\n", what, (unsigned long long)op);
    exit(1);
}

static bool has_posted(uint64_t op)
{
    return atomic_load_explicit(&s.posted, memory_order_acquire) == op;
}

/*
 * A number below 1, 2, 4, ... 2 ** bits, each bound as likely: where the window
 * lies depends on the machine, so look for it at every scale.
 */
static uint32_t any_scale(struct rng *r, uint32_t bits)
{
    return rng_below(r, 1u << rng_below(r, bits + 1));
}

static void *post_all(void *arg)
{
    struct rng r;

    rng_init(&r, 2 * seed);
    pin_to_cpu(1);
    for (uint64_t op = 1; op <= ops; op++) {
        uint32_t coarse = rng_below(&r, 4) ? 0 : any_scale(&r, 8);
        uint32_t fine = any_scale(&r, 9);

        WAIT_UNTIL(atomic_load_explicit(&s.taken, memory_order_acquire) ==
                   op - 1);
        spin(coarse);
        for (; fine; fine--) {
            atomic_store_explicit(&s.neighbour, fine, memory_order_relaxed);
        }
        if (is_bare(op)) {
            notify_bare(&s.notify);
        } else {
            completion_list_push(&s.list, &node);
            if (is_early(op)) {
                notify_post_early(&s.notify);
            } else {
                notify_post(&s.notify);
            }
        }
        atomic_store_explicit(&s.posted, op, memory_order_release);
    }
    return arg;
}

/*
 * The owner is blocked: waits for the fd, in earnest or looking busily; whether
 * it fired.
 */
static bool block(uint64_t op, struct rng *r, bool naps)
{
    int64_t sleep_ns = naps ? NAP_NS : WATCHDOG_NS;
    int64_t timeout_ns = rng_below(r, REAL_SLEEP) ? 0 : sleep_ns;
    /* One block of four is ended by a timer, at any point of the post. */
    uint32_t looks = rng_below(r, 4) ? UINT32_MAX : 1 + rng_below(r, 6);

    while (looks--) {
        /* Read before the look at the fd: the poster has written by then. */
        bool posted = has_posted(op);
        int n = fdmon_wait(&monitor, timeout_ns, events);

        assert(n >= 0);
        if (n > 0) {
            return true;
        }
        if (posted) {
            if (!(naps && is_early(op)) &&
                (is_bare(op) ? notify_is_notified(&s.notify)
                             : completion_list_peek(&s.list))) {
                fail("lost", op);
            }
            return false; /* or a bare one that was accepted before this block */
        }
        if (looks % 64 == 0) {
            sched_yield();
        }
    }
    return false;
}

static bool progress(void)
{
    return completion_list_peek(&s.list) || notify_is_notified(&s.notify);
}

/* One poll(blocking=True); returns whether the operation was seen. */
static bool turn(uint64_t op, struct rng *r, uint64_t *announced)
{
    /* The poll phase; half of the polls have none. */
    uint32_t looks = rng_below(r, 2) ? any_scale(r, 8) : 0;
    struct completion_node *got;
    bool posted, fired = false, naps = !rng_below(r, 4);

    notify_raise(&s.notify, NOTIFY_STEP);
    while (looks && !progress()) {
        cpu_relax();
        looks--;
    }
    if (!looks) {
        ++*announced; /* also where it is withdrawn: a write may be under way */
        if (naps ? notify_may_nap(&s.notify, &s.list)
                 : notify_may_block(&s.notify, &s.list)) {
            fired = block(op, r, naps);
            notify_unblock(&s.notify);
        }
    }
    notify_lower(&s.notify, NOTIFY_STEP);
    posted = has_posted(op);
    /* As often as not without being told: then the flag must do. */
    notify_accept(&s.notify, fired && rng_below(r, 2));
    got = completion_list_take(&s.list);
    assert(!got || (!is_bare(op) && got == &node && !got->next));
    return is_bare(op) ? posted : got != NULL;
}

/* No poster is at work: a notifier that was written and is not drained says. */
static void check_rest(uint64_t op, uint64_t *checked, uint64_t announced)
{
    uint64_t writes = atomic_load_explicit(&s.notify.writes,
                                           memory_order_relaxed);

    if (writes == *checked) {
        return;
    }
    *checked = writes;
    if (fdmon_wait(&monitor, 0, events) > 0) {
        notify_accept(&s.notify, false);
        if (fdmon_wait(&monitor, 0, events) > 0) {
            fail("unannounced", op);
        }
    }
    if (writes > announced) {
        fail("needless write", op);
    }
}

int main(int argc, char **argv)
{
    uint64_t announced = 0, checked = 0;
    pthread_t poster;
    struct rng r;

    ops = count_arg(argc, argv, 20000);
    seed = seed_arg(argc, argv);
    rng_init(&r, 2 * seed + 1);
    completion_list_init(&s.list);
    assert(notify_init(&s.notify) == 0 && fdmon_init(&monitor) == 0);
    assert(fdmon_set(&monitor, s.notify.notifier.rfd, 0, FDMON_READ) == 0);
    pin_to_cpu(0);
    poster = thread_start(post_all, NULL);
    for (uint64_t op = 1; op <= ops; op++) {
        while (!turn(op, &r, &announced)) {
        }
        WAIT_UNTIL(has_posted(op));
        check_rest(op, &checked, announced);
        atomic_store_explicit(&s.taken, op, memory_order_release);
    }
    thread_join(poster);
    printf("notify_lockstep: %llu operations, %llu announced, %llu writes\n",
           (unsigned long long)ops, (unsigned long long)announced,
           (unsigned long long)checked);
    fdmon_cleanup(&monitor);
    notify_cleanup(&s.notify);
    return 0;
}
