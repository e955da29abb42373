/* SPDX-License-Identifier: MIT
 *
 * The real ring_end.c under relacy: a writer moves, closes, or comes while the reader sleeps;
 * the reader goes on until it has seen all of it.
 *
 * A lost wake-up is a deadlock, an unpublished message a data race.
 */
#include "relacy_harness.h"

#include <unistd.h>

/* Stand in for doorbell.h, process.h and fd_union.h, and for aligned memory. */
#define TPOOL_SHM_DOORBELL_H
#define TPOOL_SHM_PROCESS_H
#define TPOOL_SHM_FD_UNION_H
#define __alignas_is_defined 1
#define _STDALIGN_H

#define atomic_compare_exchange_strong_explicit(p, expected, v, ...)           \
    (p)->compare_exchange_strong(*(expected), v, __VA_ARGS__)

#define BELLS 2

static struct bells {
    rl::generic_event bells[1 + BELLS]; /* by number */
    uint32_t opened;
} *all_bells;

struct doorbell {
    int fd;
    uint32_t number;
};

#define DOORBELL_NONE (doorbell{-1, 0})

static int doorbell_open(struct doorbell *bell)
{
    bell->number = ++all_bells->opened;
    bell->fd = (int)bell->number;
    return 0;
}

static void doorbell_close(struct doorbell *bell)
{
    *bell = DOORBELL_NONE;
}

static void doorbell_ring(const struct doorbell *mine, uint32_t number)
{
    (void)mine;
    all_bells->bells[number].set($);
}

static void doorbell_drain(const struct doorbell *bell)
{
    all_bells->bells[bell->number].reset($);
}

static int process_self(uint64_t *id)
{
    *id = 1;
    return 0;
}

/* Nobody dies: no fd is opened. */
static int process_open(uint64_t id)
{
    (void)id;
    return 1000;
}

static bool process_is_dead(int fd)
{
    (void)fd;
    return false;
}

static int fd_union_open(void)
{
    return 1000;
}

static void fd_union_remove(int all, int fd)
{
    (void)all;
    (void)fd;
}

static int fd_union_add(int all, int fd)
{
    (void)all;
    (void)fd;
    return 0;
}

#define close(fd) ((void)(fd))
#include "shm/ring_end.c"
#undef close

#define MESSAGES 2

static struct {
    const char *name;
    int messages;
    bool late, closes;
} const *scenario, scenarios[] = {
                       {"one message", 1, false, false},
                       {"two messages, then it closes", 2, false, true},
                       {"it comes late", 0, true, false},
                       {"it comes late, and closes", 1, true, true},
};

struct ring_suite : rl::test_suite<ring_suite, 2> {
    struct bells bells;
    struct ring_place places[2];
    struct ring_memory memory;
    struct ring_end w, r;
    rl::var<int> payload[MESSAGES];

    ring_suite() : bells(), places(), memory(), w(), r()
    {
    }

    void before()
    {
        all_bells = &bells;
        bells.opened = 0;
        for (int i = 1; i <= BELLS; i++) {
            bells.bells[i].init(true, false, $);
        }
        for (int i = 0; i < 2; i++) {
            places[i].position.store(0, memory_order_relaxed);
            places[i].wake_at.store(UINT64_MAX, memory_order_relaxed);
            places[i].owner.store(RING_FREE, memory_order_relaxed);
            places[i].doorbell.store(0, memory_order_relaxed);
            places[i].rung_ns.store(0, memory_order_relaxed);
        }
        memory.places = places;
        memory.readers = 1;
        if (!scenario->late) {
            ring_end_open(&r, &memory, false);
            ring_end_open(&w, &memory, true);
        }
    }

    void after()
    {
        ring_end_cleanup(&r);
        ring_end_cleanup(&w);
        for (int i = 1; i <= BELLS; i++) {
            bells.bells[i].deinit($);
        }
    }

    void thread(unsigned me)
    {
        if (me == 0) {
            write();
        } else {
            read();
        }
    }

    void write()
    {
        if (scenario->late) {
            ring_end_open(&w, &memory, true);
        }
        for (int i = 0; i < scenario->messages; i++) {
            payload[i]($) = 1;
            ring_end_move(&w, w.position + 8);
        }
        if (scenario->closes) {
            ring_end_close(&w);
        }
    }

    /* It has met the writer: what wakes it is that one's death, if it waits for no more. */
    bool is_done()
    {
        return !scenario->messages && r.peers[0].owner != RING_FREE;
    }

    void sleep(const struct ring_want *want)
    {
        if (ring_end_arm(&r, want) == 0 && !is_done()) {
            all_bells->bells[r.bell.number].wait(false, false, $);
        }
    }

    void read()
    {
        struct ring_want want = {0, 0};

        if (scenario->late) {
            ring_end_open(&r, &memory, false);
        }
        for (int i = 0; i < scenario->messages; i++) {
            while (!ring_end_has(&r, &want)) {
                sleep(&want);
            }
            RL_ASSERT((int)payload[i]($) == 1);
            want.position += 8;
        }
        while (!scenario->messages && !is_done()) {
            sleep(&want);
        }
        while (scenario->closes && ring_end_peer_is_there(&r, 0)) {
            sleep(&want);
        }
    }
};

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 50000;

    for (auto &each : scenarios) {
        scenario = &each;
        if (!check<ring_suite>(scenario->name, n)) {
            return 1;
        }
    }
    std::cout << "relacy_ring: " << n << " iterations of each scenario\n";
    return 0;
}
