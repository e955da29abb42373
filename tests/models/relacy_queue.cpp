/* SPDX-License-Identifier: MIT
 *
 * The real files of the request queue under relacy: submitters and workers that
 * park, and calls that wait for another call.  A lost wake-up is a deadlock.
 */
#include "relacy_harness.h"

#include "tune/poll_history.c"
#include "tune/poll_window.c"
#include "tune/poll_tuner.c"
#include "queue/completion_list.c"
#include "base/cpu.c"

/* A hint for clocks, which are not modelled: it orders nothing. */
void cpu_time_begin(struct cpu_time *, clockid_t)
{
}
void cpu_time_end(struct cpu_time *, clockid_t)
{
}

#include "queue/queue_lookers.c"
#include "queue/request_queue.c"
#include "queue/queue_poll.c"
#include "queue/queue_worker.c"

#define SUBMITTERS 2
#define WORKERS    2

/* At run time, not as template arguments: those would be compiled each. */
static struct {
    const char *name;
    unsigned submitters, workers;
    /*
     * The call of the first request waits for that of the second, which needs
     * another worker; otherwise calls return at once.
     */
    bool blocked;
    /* Workers find the owner on their CPU, and move to another. */
    bool moving;
} const *scenario, scenarios[] = {
                       {"one submitter, one worker", 1, 1, false},
                       {"two submitters, one worker", 2, 1, false},
                       {"a call waits for another", 2, 2, true},
                       {"two submitters, two workers", 2, 2, false},
                       {"workers move", 1, 2, false, true},
};

struct queue_suite : rl::test_suite<queue_suite, SUBMITTERS + WORKERS> {
    struct request {
        struct work work;
        rl::var<int> payload; /* relacy checks that the push publishes it */
    };

    struct request_queue q;
    struct cpu_pair cpus;
    struct queue_worker w[WORKERS];
    struct request requests[SUBMITTERS];
    rl::atomic<unsigned> ran;
    rl::generic_event second_ran;

    queue_suite() : q(), cpus(), w(), requests()
    {
    }

    void before()
    {
        struct poll_params params = {0, 0, 0};

        cpu_pair_init(&cpus);
        /* One CPU: nobody polls, so every wait goes through the park. */
        cpus.usable.store(scenario->moving ? 2 : 1, memory_order_relaxed);
        cpus.owner.store(sched_getcpu(), memory_order_relaxed);
        request_queue_init(&q, &cpus, &params, -1);
        q.poll.poll_ns = scenario->moving;
        request_queue_set_limits(&q, scenario->workers, scenario->workers);
        while (request_queue_grow(&q)) {
        }
        ran.store(0, memory_order_relaxed);
        second_ran.init(true, false, $);
    }

    void after()
    {
        RL_ASSERT(ran.load(memory_order_relaxed) == scenario->submitters);
        request_queue_cleanup(&q);
        second_ran.deinit($);
    }

    void thread(unsigned me)
    {
        if (me >= SUBMITTERS) {
            if (me - SUBMITTERS < scenario->workers) {
                work(&w[me - SUBMITTERS]);
            }
        } else if (me < scenario->submitters) {
            struct request *request = &requests[me];

            request->payload($) = 1;
            request->work.queued = true;
            request_queue_reserve(&q, 1, UINT32_MAX);
            RL_ASSERT(request_queue_push(&q, &request->work, &request->work) !=
                      QUEUE_SPAWN);
        }
    }

    void work(struct queue_worker *worker)
    {
        struct call_times times = {0, 2 * SHORT_CALL_NS};
        struct work *work;

        request_queue_worker_init(worker);
        worker->wake_ns.store(0, memory_order_relaxed);
        while ((work = request_queue_get(&q, worker))) {
            request_queue_begin_call(&q, worker);
            do {
                call((struct request *)work);
                work = request_queue_end_call(&q, worker, &times, rl::rand(2));
            } while (work);
        }
        request_queue_worker_cleanup(worker);
    }

    void call(struct request *request)
    {
        RL_ASSERT(request->payload($) == 1);
        request->payload($) = 2;
        if (scenario->blocked && request == &requests[0]) {
            second_ran.wait(false, false, $);
        } else if (scenario->blocked) {
            second_ran.set($);
        }
        if (ran.fetch_add(1, memory_order_relaxed) + 1 ==
            scenario->submitters) {
            request_queue_shutdown(&q);
        }
    }
};

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;

    for (auto &each : scenarios) {
        scenario = &each;
        if (!check<queue_suite>(scenario->name, n)) {
            return 1;
        }
    }
    std::cout << "relacy_queue: " << n << " iterations of each scenario\n";
    return 0;
}
