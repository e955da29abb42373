/* SPDX-License-Identifier: MIT
 *
 * Threads that make requests for files: random pushes and cancels, now and then of more
 * than may wait, or where no thread can be started; then a wait, or the end.  Each that
 * was taken, and not cancelled, has run once, and is on the completion list, when a wait
 * or close() returns.
 */
#include "source/io_threads.h"
#include "stress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX 200

static struct trace trace;
static struct aio_context ctx;
static struct rng rng;
static atomic_bool refuse;  /* a thread that is asked for does not start */
static atomic_bool blocked; /* what runs does not end */
static atomic_int begun;

static struct job {
    struct work work;
    int ran; /* plain: the list publishes it */
    bool taken, cancelled, came;
    uint32_t spins;
} jobs[JOBS_MAX];

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    return atomic_load(&refuse) ? EAGAIN
                                : __real_pthread_create(out, attr, run, arg);
}

static struct completion_node *run_job(struct work *w, struct call_times *times)
{
    struct job *job = (struct job *)w;

    job->ran++;
    atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed);
    spin(job->spins);
    WAIT_UNTIL(!atomic_load_explicit(&blocked, memory_order_acquire));
    *times = (struct call_times){.run_ns = 2 * SHORT_CALL_NS};
    return &w->link;
}

static const struct work_ops job_ops = {.run = run_job};

/* In the order of the requests, some at once. */
static void push_and_cancel(struct io_threads *t, int n)
{
    for (int i = 0; i < n; i++) {
        struct job *job = &jobs[i];
        int ret;

        memset(job, 0, sizeof(*job));
        work_init(&job->work, &job_ops);
        job->spins = rng_below(&rng, 2000);
        atomic_store(&refuse, rng_below(&rng, 16) == 0);
        ret = io_threads_push(t, &job->work,
                              rng_below(&rng, 8) ? QUEUE_UNBOUNDED : 2);
        assert(ret == 0 || ret == -EBUSY || (ret == -EAGAIN && refuse));
        atomic_store(&refuse, false);
        job->taken = ret == 0;
        if (rng_below(&rng, 4) == 0) {
            struct job *other = &jobs[rng_below(&rng, (uint32_t)i + 1)];

            if (other->taken && io_threads_cancel(t, &other->work)) {
                assert(!other->cancelled);
                other->cancelled = true;
            }
        }
        random_delay(&rng);
    }
}

static void check(int n)
{
    struct completion_node *node = completion_list_take(&ctx.core->list);

    for (; node; node = node->next) {
        struct job *job = (struct job *)node;

        assert(job->ran == 1 && !job->cancelled && !job->came);
        job->came = true;
    }
    for (int i = 0; i < n; i++) {
        assert(jobs[i].came == (jobs[i].taken && !jobs[i].cancelled));
        assert(jobs[i].ran == jobs[i].came);
    }
}

/* Another thread, while they are waited for. */
static void *cancel_some(void *threads)
{
    static struct rng mine = {.state = 7};

    for (int i = 0; i < 20; i++) {
        struct job *job = &jobs[rng_below(&mine, JOBS_MAX)];

        if (job->taken && io_threads_cancel(threads, &job->work)) {
            job->cancelled = true;
        }
        random_delay(&mine);
    }
    return NULL;
}

static void test_rounds(uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        struct io_threads *t = io_threads_new(&ctx);
        int n = 1 + (int)rng_below(&rng, JOBS_MAX);

        assert(t && io_threads_wait(t) == 0);
        for (uint32_t more = rng_below(&rng, 4); more; more--) {
            pthread_t other;

            memset(jobs, 0, sizeof(jobs));
            push_and_cancel(t, n);
            other = thread_start(cancel_some, t);
            assert(io_threads_wait(t) >= 0);
            thread_join(other);
            check(n);
            assert(io_threads_wait(t) == 0);
        }
        push_and_cancel(t, n);
        io_threads_close(t);
        check(n);
    }
}

/* The first that is asked for finds no thread: it is the caller's, and the next runs. */
static void test_no_thread(void)
{
    struct io_threads *t = io_threads_new(&ctx);

    memset(jobs, 0, 2 * sizeof(*jobs));
    work_init(&jobs[0].work, &job_ops);
    work_init(&jobs[1].work, &job_ops);
    atomic_store(&refuse, true);
    assert(io_threads_push(t, &jobs[0].work, QUEUE_UNBOUNDED) == -EAGAIN);
    assert(io_threads_wait(t) == 0);
    atomic_store(&refuse, false);
    jobs[1].taken = io_threads_push(t, &jobs[1].work, QUEUE_UNBOUNDED) == 0;
    assert(jobs[1].taken);
    io_threads_close(t);
    check(2);
}

static void nothing(int signal)
{
    (void)signal;
}

static void *interrupt(void *owner)
{
    struct timespec moment = {.tv_nsec = 20 * NS_PER_MS};

    nanosleep(&moment, NULL);
    pthread_kill(*(pthread_t *)owner, SIGUSR1);
    return NULL;
}

/* More than a few at once, and that says nothing of calls. */
static void test_many_at_once(void)
{
    struct io_threads *t = io_threads_new(&ctx);
    struct cpu_pair *cpus = &ctx.core->cpus;
    int n = (int)cpu_pair_few(cpus) + 1;

    n = n < 60 ? n : 60;
    memset(jobs, 0, sizeof(jobs));
    atomic_store_explicit(&begun, 0, memory_order_relaxed);
    atomic_store_explicit(&blocked, true, memory_order_release);
    for (int i = 0; i < n; i++) {
        work_init(&jobs[i].work, &job_ops);
        jobs[i].taken = true;
        assert(io_threads_push(t, &jobs[i].work, QUEUE_UNBOUNDED) == 0);
    }
    WAIT_UNTIL(atomic_load_explicit(&begun, memory_order_relaxed) == n);
    assert(!cpu_pair_take_crowd(cpus));
    atomic_store_explicit(&blocked, false, memory_order_release);
    io_threads_close(t);
    check(n);
}

/* A signal ends a wait, not what is waited for; no thread of theirs gets it. */
static void test_signal(void)
{
    struct io_threads *t = io_threads_new(&ctx);
    pthread_t me = pthread_self(), other;

    memset(jobs, 0, sizeof(*jobs));
    work_init(&jobs[0].work, &job_ops);
    jobs[0].taken = true;
    atomic_store_explicit(&blocked, true, memory_order_release);
    assert(io_threads_push(t, &jobs[0].work, QUEUE_UNBOUNDED) == 0);
    other = thread_start(interrupt, &me);
    assert(io_threads_wait(t) == -EINTR);
    thread_join(other);
    atomic_store_explicit(&blocked, false, memory_order_release);
    assert(io_threads_wait(t) >= 0);
    io_threads_close(t);
    check(1);
}

static void hang(int signal)
{
    static const char said[] = "Assertion: something is waited for in vain\n";

    (void)signal;
    (void)!write(2, said, sizeof(said) - 1);
    _exit(1);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = nothing};
    uint64_t rounds = count_arg(argc, argv, 300);

    sigaction(SIGUSR1, &action, NULL);
    signal(SIGALRM, hang);
    alarm((unsigned)(STRESS_DEADLINE_NS / NS_PER_SECOND));
    rng_init(&rng, 1);
    assert(aio_core_new(&ctx.core, &trace) == 0);
    ctx.params = (struct poll_params){.max_ns = 32768};
    test_no_thread();
    test_many_at_once();
    test_signal();
    test_rounds(rounds);
    aio_core_close(ctx.core);
    aio_core_unref(ctx.core);
    printf("%llu rounds: all was done in time, once\n",
           (unsigned long long)rounds);
    return 0;
}
