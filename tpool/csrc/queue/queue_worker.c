/* SPDX-License-Identifier: MIT
 *
 * The worker's half of the request queue: stand by, park, take, leave.  See
 * request_queue.h for the protocol, whose letters stand here, and its proof.
 */
#include "base/os_thread.h"
#include "queue/queue_poll.h"

#include <string.h>

/* A helper that found the queue empty this often in a row parks. */
#define STANDBY_EMPTY_MAX 2
/* So many were taken since it looked: the queue is empty for a moment only. */
#define FLOW_CALLS 8
/* Weight of the newest call in the moving average: 1/8. */
#define CALL_NS_SHIFT 3

/* How many are run at once, at most, unless they all sleep or block. */
static uint32_t abreast_of(const struct request_queue *q)
{
    return q->bounded ? cpu_pair_abreast(q->cpus) : UINT32_MAX;
}

static struct work *pop(struct request_queue *q, struct queue_worker *w)
{
    struct work *work = q->head;

    if (work) {
        queue_unlink(q, work);
        q->pops++;
        q->runner = w;
    }
    return work;
}

void request_queue_worker_init(struct queue_worker *w)
{
    memset(w, 0, sizeof(*w));
    parker_init(&w->parker);
    w->looking = true;
}

void request_queue_worker_cleanup(struct queue_worker *w)
{
    parker_cleanup(&w->parker);
}

/* Lock held.  What is known of how long calls take. */
static void learn_call(struct request_queue *q, int64_t call_ns)
{
    int64_t old_ns = request_queue_call_ns(q);

    atomic_store_explicit(&q->call_ns,
                          old_ns + ((call_ns - old_ns) >> CALL_NS_SHIFT),
                          memory_order_relaxed);
}

/*
 * Lock held, w stands by, calls are run one at a time.  Whether the next need not wait for
 * who runs the newest: it has slept for half of the time since the last look, or computes
 * for so long that the call may be one without the GIL.
 */
static bool sleeps(const struct request_queue *q, struct queue_worker *w)
{
    int64_t now_ns = clock_now_ns(), before_ns = w->seen_ns;
    int64_t cpu_ns = clock_read_ns(q->runner->cpu_clock);
    int64_t computed_ns = cpu_ns - w->seen_cpu_ns;
    bool same = w->standby_ns && w->seen_runner == q->runner;

    if (!w->standby_ns || w->seen_pops != q->pops) {
        w->since_ns = now_ns;
    }
    w->seen_runner = q->runner;
    w->seen_ns = now_ns;
    w->seen_cpu_ns = cpu_ns;
    return same && (computed_ns < (now_ns - before_ns) / 2 ||
                    now_ns - w->since_ns >= SERIAL_MAX_NS);
}

/* Whether a call is over sooner than another worker could be woken. */
static bool is_brief(struct request_queue *q)
{
    return request_queue_call_ns(q) <= SHORT_CALL_NS;
}

/* Lock held.  Others see to it, so it looks again later, and ever less often. */
static void stand_by_longer(struct queue_worker *w, int64_t max_ns)
{
    w->standby_ns = w->standby_ns ? 2 * w->standby_ns : STANDBY_NS;
    if (w->standby_ns > max_ns) {
        w->standby_ns = max_ns;
    }
    w->standby_empty = 0;
}

/* Lock held, a request is queued.  See "Short calls" in the header. */
static bool may_take(struct request_queue *q, struct queue_worker *w)
{
    uint32_t abreast = abreast_of(q);
    bool serial = abreast == 1, full = q->active >= abreast, stuck;
    bool brief = is_brief(q);
    int64_t max_ns = full && !brief ? FULL_STANDBY_NS : STANDBY_MAX_NS;

    if (!q->active || (serial && !q->runner)) {
        return true; /* what runs beside was passed over already */
    }
    stuck = serial ? sleeps(q, w) : w->standby_ns && w->seen_pops == q->pops;
    if (stuck) {
        learn_call(q, STANDBY_NS); /* no end of it has been seen yet */
    }
    if (stuck || (!full && !brief)) {
        return true;
    }
    stand_by_longer(w, max_ns);
    w->seen_pops = q->pops;
    return false;
}

/*
 * Lock held.  Who worked last is the first to be woken; who was woken for nothing
 * goes under it, or the two would take turns, each a cold start.
 */
static void push_parked(struct request_queue *q, struct queue_worker *w)
{
    struct queue_worker *newer = q->sentry == w ? NULL : q->newest;

    w->newer = newer;
    w->older = newer ? newer->older : q->newest;
    *(newer ? &newer->older : &q->newest) = w;
    if (w->older) {
        w->older->newer = w;
    }
    w->parked_ns = clock_now_ns();
    w->parked = true;
}

/* For a moment, in which a request may wait for it: not until the kernel sees fit. */
static bool nap(struct parker *parker, int64_t timeout_ns)
{
    long slack_ns = os_thread_be_punctual();
    bool woken = parker_wait(parker, timeout_ns);

    os_thread_set_slack(slack_ns);
    return woken;
}

/* Lock held; dropped while it sleeps, parked.  Whether it was woken. */
static bool sleep_parked(struct request_queue *q, struct queue_worker *w,
                         int64_t timeout_ns)
{
    int64_t slept_ns = clock_now_ns();
    bool stands_by = w->looking, woken;

    pthread_mutex_unlock(&q->lock);
    cpu_time_end(&q->cpus->time, w->cpu_clock);
    woken = stands_by ? nap(&w->parker, timeout_ns)
                      : parker_wait(&w->parker, timeout_ns);
    cpu_time_begin(&q->cpus->time, w->cpu_clock);
    pthread_mutex_lock(&q->lock);
    q->stats.parked_ns += (uint64_t)(clock_now_ns() - slept_ns);
    if (!woken && !w->parked) {
        /* Chosen just as it timed out: the wake-up is on its way. */
        pthread_mutex_unlock(&q->lock);
        parker_wait(&w->parker, -1);
        pthread_mutex_lock(&q->lock);
    }
    return !w->parked;
}

static void begin_wait(struct queue_worker *w)
{
    if (w->wait_ns < 0) {
        w->wait_ns = clock_now_ns();
    }
}

/*
 * The same, until it is needed.  False: idle for too long, leave.  Not at once where
 * something is queued: when who stands by has taken that, another is needed.
 */
static bool sleep_idle(struct request_queue *q, struct queue_worker *w)
{
    int64_t timeout_ns = -1, least_ns = q->head ? STANDBY_MAX_NS : 0;

    if (q->threads > q->min_threads && !q->shutdown) {
        timeout_ns = remaining_ns(
            clock_now_ns(), deadline_after_ns(w->wait_ns, q->idle_timeout_ns));
        if (timeout_ns >= 0 && timeout_ns < least_ns) {
            timeout_ns = least_ns;
        }
    }
    if (sleep_parked(q, w, timeout_ns)) {
        return true; /* the waker counts it as a looker */
    }
    queue_unpark(q, w);
    if (q->threads > q->min_threads) {
        return false;
    }
    queue_start_looking(q, w);
    return true;
}

/*
 * Lock held, nothing is queued, the caller looks.  Who stands by would see the
 * next request only when its time is over: it is parked like the rest.
 */
static void dismiss_helpers(struct request_queue *q)
{
    for (struct queue_worker *w = q->newest; w; w = w->older) {
        if (w->looking) {
            w->standby_ns = 0;
            queue_stop_looking(q, w);
        }
    }
}

/* Lock held.  Not one that is only being started: it may not come in time. */
static bool somebody_stands_by(const struct request_queue *q)
{
    const struct queue_worker *w = q->newest;

    while (w && !w->looking) {
        w = w->older;
    }
    return w != NULL;
}

/*
 * Lock held; dropped while it sleeps.  Nothing is queued, or somebody stands by who will
 * see to it.  False: idle for too long, leave.
 */
static bool park(struct request_queue *q, struct queue_worker *w)
{
    if (!q->head) {
        dismiss_helpers(q);
    }
    w->standby_ns = 0;
    push_parked(q, w);
    queue_stop_looking(q, w);
    if (queue_look(q) && !somebody_stands_by(q)) {
        queue_unpark(q, w);
        queue_start_looking(q, w);
        return true;
    }
    cpu_pair_set_worker_comes(q->cpus, false);
    return sleep_idle(q, w);
}

/*
 * Lock held; dropped while it sleeps.  A helper gives the others a moment: parked,
 * but still a looker.  False: dismissed, and then idle for too long.
 */
static bool stand_by(struct request_queue *q, struct queue_worker *w)
{
    push_parked(q, w);
    if (sleep_parked(q, w, w->standby_ns)) {
        return true;
    }
    if (!w->looking) {
        begin_wait(w);
        return sleep_idle(q, w);
    }
    queue_unpark(q, w);
    return true;
}

/*
 * Lock held, nothing queued.  Whether work flows past a helper: short calls, and past one
 * that was parked a moment ago, and was woken for nothing, too, or it would be woken again
 * and again.
 */
static bool keep_standing_by(struct request_queue *q, struct queue_worker *w)
{
    bool flows = is_brief(q) && q->pops - w->seen_pops >= FLOW_CALLS;

    if (!w->standby_ns) {
        flows &= q->sentry != w && w->wait_ns >= 0 &&
                 clock_now_ns() - w->parked_ns < STANDBY_MAX_NS;
    } else if (w->seen_pops == q->pops ||
               (!flows && ++w->standby_empty >= STANDBY_EMPTY_MAX)) {
        w->standby_ns = 0;
    }
    if (flows) {
        stand_by_longer(w, STANDBY_MAX_NS);
        w->seen_runner = NULL; /* nor its clocks */
        w->since_ns = clock_now_ns();
    }
    w->seen_pops = q->pops;
    return w->standby_ns > 0;
}

/*
 * Lock held.  Stops counting the worker.  False: it has to stay, something was
 * pushed by who still counted on it.
 */
static bool leave(struct request_queue *q, struct queue_worker *w,
                  struct queue_worker **wake)
{
    if (w->looking) {
        queue_stop_looking(q, w);
        if (queue_look(q) && !queue_somebody_looks(q)) {
            if (q->threads <= q->max_threads) {
                queue_start_looking(q, w);
                return false;
            }
            /* Too many: at least one more is there, parked or in a call. */
            queue_find_looker(q, wake);
        }
    }
    if (q->shutdown && q->newest && !*wake) {
        queue_find_looker(q, wake); /* it leaves too, and so on */
    }
    q->threads--;
    if (q->sentry == w) {
        q->sentry = NULL;
    }
    if (q->runner == w) {
        q->runner = NULL;
    }
    queue_update_interrupt(q);
    return true;
}

/* Lock held; dropped while it waits.  NULL: leave. */
static struct work *wait_and_pop(struct request_queue *q,
                                 struct queue_worker *w)
{
    bool stays;

    w->wait_ns = -1;
    w->polled = false;
    for (;;) {
        queue_splice(q);
        if (q->threads > q->max_threads) {
            return NULL;
        }
        if (q->head && may_take(q, w)) {
            if (w->wait_ns >= 0 && !w->standby_ns) {
                queue_poll_learn(q, w);
            }
            return pop(q, w);
        }
        if (!q->head && q->shutdown) {
            return NULL;
        }
        if (q->head ? !somebody_stands_by(q) : keep_standing_by(q, w)) {
            stays = stand_by(q, w);
        } else {
            begin_wait(w);
            stays = (!q->head && queue_poll(q, w)) || park(q, w);
        }
        if (!stays) {
            return NULL;
        }
    }
}

struct work *request_queue_get(struct request_queue *q, struct queue_worker *w)
{
    struct work *work;
    struct queue_worker *wake = NULL;

    if (!w->clocked) { /* its thread is not the one that has made it */
        w->cpu_clock = clock_of_this_thread();
        w->clocked = true;
        cpu_time_begin(&q->cpus->time, w->cpu_clock);
    }
    pthread_mutex_lock(&q->lock);
    do {
        work = wait_and_pop(q, w);
    } while (!work && !leave(q, w, &wake));
    if (!work) {
        cpu_time_end(&q->cpus->time, w->cpu_clock);
    } else {
        w->standby_ns = 0;
        q->active++;
        if (q->bounded) {
            cpu_pair_count_running(q->cpus, q->active);
        }
    }
    if (!wake) { /* else another one comes in its place */
        cpu_publish(&q->cpus->worker);
        cpu_pair_set_worker_comes(q->cpus, false);
    }
    pthread_mutex_unlock(&q->lock);
    queue_wake_worker(wake);
    return work;
}

enum queue_need request_queue_begin_call(struct request_queue *q,
                                         struct queue_worker *w)
{
    enum queue_need need = QUEUE_SEEN;
    struct queue_worker *wake = NULL;

    pthread_mutex_lock(&q->lock);
    queue_stop_looking(q, w);
    if (queue_look(q) && !queue_somebody_looks(q)) {
        need = queue_find_looker(q, &wake);
    }
    pthread_mutex_unlock(&q->lock);
    queue_wake_worker(wake);
    return need;
}

/* Lock held. */
static void count_call(struct request_queue *q, struct queue_worker *w,
                       const struct call_times *times)
{
    w->run_ns = times->run_ns;
    learn_call(q, times->run_ns);
    q->stats.completed++;
    if (!atomic_load_explicit(&q->warm, memory_order_relaxed)) {
        atomic_store_explicit(&q->warm, true, memory_order_relaxed);
    }
    q->stats.wait_ns += (uint64_t)times->wait_ns;
    q->stats.run_ns += (uint64_t)times->run_ns;
    histogram_add(&q->stats.waits, times->wait_ns);
    histogram_add(&q->stats.runs, times->run_ns);
}

struct work *request_queue_end_call(struct request_queue *q,
                                    struct queue_worker *w,
                                    const struct call_times *times, bool more)
{
    struct work *work = NULL;

    pthread_mutex_lock(&q->lock);
    if (times->run_ns >= 0) {
        count_call(q, w, times);
    }
    if (more && q->threads <= q->max_threads && q->active <= abreast_of(q)) {
        queue_splice(q);
        work = pop(q, w);
    }
    if (!work) {
        q->active--;
        if (q->runner == w) {
            q->runner = NULL;
        }
        q->sentry = w;
        queue_start_looking(q, w);
    }
    pthread_mutex_unlock(&q->lock);
    return work;
}
