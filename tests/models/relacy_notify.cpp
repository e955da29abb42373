/* SPDX-License-Identifier: MIT
 *
 * The real notify.c and completion_list.c under relacy: posters of a node or of
 * a bare notification, and an owner that goes on until it has everything.
 *
 * A lost wake-up is a deadlock, unpublished data is a data race, and at the end
 * a readable notifier that nothing announces is a failed assertion.
 */
#include "relacy_harness.h"

#include "aio/notify.h"
#include "queue/completion_list.c"
#include "aio/notify.c"

#define POSTERS 2

/* At run time, not as template arguments: those would be compiled each. */
static struct {
    const char *name;
    int nodes, bare; /* posters of either */
    bool timers;     /* the owner may wake without being woken */
    bool naps;       /* the same in its naps, and nodes come early */
} const *scenario, scenarios[] = {
                       {"one node", 1, 0, false, false},
                       {"one bare", 0, 1, false, false},
                       {"two nodes", 2, 0, false, false},
                       {"node and bare, timers", 1, 1, true, false},
                       {"node and bare, naps", 1, 1, false, true},
};

struct notify_suite : rl::test_suite<notify_suite, 1 + POSTERS> {
    struct item {
        struct completion_node link;
        rl::var<int> payload; /* relacy checks that the push publishes it */
    };

    struct notify n;
    struct completion_list list;
    struct item items[POSTERS];
    /* What a bare notification is for: the owner must come to see it. */
    rl::atomic<int> flags[POSTERS];

    notify_suite() : n(), list(), items()
    {
    }

    void before()
    {
        notify_init(&n);
        completion_list_init(&list);
        for (int i = 0; i < POSTERS; i++) {
            flags[i].store(0, memory_order_relaxed);
        }
    }

    void after()
    {
        notify_accept(&n, false);
        RL_ASSERT(!event_notifier_readable(&n.notifier));
        RL_ASSERT(notify_me(&n) == 0);
        notify_cleanup(&n);
    }

    void thread(unsigned me)
    {
        int poster = (int)me - 1;

        if (me == 0) {
            owner();
        } else if (poster < scenario->nodes) {
            items[poster].payload($) = 1;
            completion_list_push(&list, &items[poster].link);
            if (scenario->naps) {
                notify_post_early(&n);
            } else {
                notify_post(&n);
            }
        } else if (poster < scenario->nodes + scenario->bare) {
            flags[poster].store(1, memory_order_relaxed);
            notify_bare(&n);
        }
    }

    bool everything(int got)
    {
        for (int i = 0; i < POSTERS; i++) {
            got += flags[i].load(memory_order_relaxed);
        }
        return got == scenario->nodes + scenario->bare;
    }

    void owner()
    {
        int got = 0;

        do {
            bool fired = false, naps = scenario->naps && rl::rand(2);

            notify_raise(&n, NOTIFY_STEP);
            /* The poll phase: none, or one look. */
            if (!(rl::rand(2) &&
                  (completion_list_peek(&list) || notify_is_notified(&n))) &&
                (naps ? notify_may_nap(&n, &list)
                      : notify_may_block(&n, &list))) {
                bool timer = naps || (scenario->timers && rl::rand(2));

                fired = n.notifier.fd.wait(false, timer, $) ==
                        rl::sema_wakeup_reason_success;
                notify_unblock(&n);
            }
            notify_lower(&n, NOTIFY_STEP);
            notify_accept(&n, fired && rl::rand(2));
            for (struct completion_node *node = completion_list_take(&list);
                 node; node = node->next) {
                RL_ASSERT(((struct item *)node)->payload($) == 1);
                got++;
            }
        } while (!everything(got));
    }
};

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 50000;

    for (auto &each : scenarios) {
        scenario = &each;
        if (!check<notify_suite>(scenario->name, n)) {
            return 1;
        }
    }
    std::cout << "relacy_notify: " << n << " iterations of each scenario\n";
    return 0;
}
