/* SPDX-License-Identifier: MIT
 *
 * See poll_phase.h.
 */
#include "aio/handoff.h"
#include "turn/poll_phase.h"

/* The main thread looks for signals this often while it polls. */
#define SIGNAL_NS (1 * NS_PER_MS)
/* After the owner has left the CPU: the worker there is only being woken. */
#define PARTED_NS 100000

void aio_leave(struct aio_context *c, uint32_t what_for, bool blocks)
{
    c->host->leave(c, blocks);
    atomic_store_explicit(&c->core->cpus.owner_waits, what_for,
                          memory_order_relaxed);
}

void aio_enter(struct aio_context *c, bool blocked)
{
    if (c->host->exclusive) {
        aio_handoff_from_worker(c->core);
    }
    atomic_store_explicit(&c->core->cpus.owner_waits, 0, memory_order_relaxed);
    c->host->enter(c, blocked);
}

/* 1 if something has come, 0, or the first error. */
static int look(struct aio_wait *w)
{
    int any = 0;

    for (int i = 0; i < w->n_lookers; i++) {
        struct aio_source *s = w->lookers[i];
        int ret = s->ops->look(s, w);

        if (ret < 0) {
            return ret;
        }
        any |= ret;
    }
    return any;
}

static int look_with_host(struct aio_context *c, struct aio_wait *w)
{
    struct aio_source *s = w->host_look_ns ? c->sources : NULL;

    while (s && !s->with_host) {
        s = s->next;
    }
    return s ? s->ops->look(s, w) : 0;
}

/* Context acquired.  Who is to look, and how often. */
static void note_lookers(struct aio_context *c, struct aio_wait *w)
{
    w->n_lookers = 0;
    w->look_ns = w->host_look_ns = 0;
    for (struct aio_source *s = c->looks ? c->sources : NULL; s; s = s->next) {
        int64_t ns = s->ops->look_ns ? s->ops->look_ns(s, w) : 0;

        if (ns && s->with_host) {
            w->host_look_ns = ns;
        } else if (ns) {
            w->lookers[w->n_lookers++] = s;
            w->look_ns = w->look_ns && w->look_ns < ns ? w->look_ns : ns;
        }
    }
}

static int begin(struct aio_context *c, struct aio_wait *w)
{
    int ret = 0;

    for (struct aio_source *s = c->phases ? c->sources : NULL; s && ret == 0;
         s = s->next) {
        ret = s->ops->begin ? s->ops->begin(s, w) : 0;
    }
    return ret;
}

/*
 * Whatever is raised, all of them; hit: what the phase was, if nothing is.  What came
 * before end() turned notifications on again has told nobody: it is looked for, here
 * or, where a word tells, before the block.
 */
static int end(struct aio_context *c, struct aio_wait *w, int hit)
{
    for (struct aio_source *s = c->phases ? c->sources : NULL; s; s = s->next) {
        int ret = s->ops->end ? s->ops->end(s, w) : 0;

        hit = ret < 0 ? ret : hit;
    }
    return hit == 0 ? look_with_host(c, w) : hit;
}

/* A phase cannot begin, beside the worker on one CPU; whether it is time to part. */
static bool refuse(struct aio_context *c, int64_t window_ns)
{
    counter_add(&c->stats.polls_refused, 1);
    trace_emit(c->core->trace, TRACE_POLL_REFUSED, c->name, window_ns);
    return cpu_parting_is_due(&c->parting,
                              !cpu_pair_is_single(&c->core->cpus) &&
                                  !cpu_pair_blocks(&c->core->cpus));
}

/* Not beside the worker on one CPU: the window, 0, or all there may be. */
static int64_t unshared_window_ns(struct aio_context *c, struct aio_wait *w,
                                  int64_t window_ns)
{
    struct cpu_pair *cpus = &c->core->cpus;

    if (!window_ns || !cpu_pair_is_shared(cpus)) {
        return window_ns;
    }
    if (!refuse(c, window_ns)) {
        return 0;
    }
    /* The worker comes to run where this thread leaves. */
    aio_leave(c, OWNER_WAITS, false);
    cpu_pair_part(cpus, &c->parting);
    aio_enter(c, false);
    w->start_ns = w->end_ns = clock_now_ns();
    /* A block now would bring them together again. */
    return window_ns > PARTED_NS ? window_ns : PARTED_NS;
}

int poll_phase_plan(struct aio_context *c, struct aio_wait *w)
{
    for (struct aio_source *s = c->sources; s; s = s->next) {
        struct wait_plan plan = {.choice = WAIT_QUIET};
        int ret = s->ops->plan ? s->ops->plan(s, w, &plan) : 0;

        if (ret < 0) {
            return ret;
        }
        wait_plan_add(&w->plan, plan);
        if (s->peek.word && plan.choice != WAIT_QUIET) {
            w->peeks.peeks[w->peeks.n++] = s->peek;
        }
    }
    note_lookers(c, w);
    return 0;
}

/* No poll phase is begun: why. */
static void count_none(struct aio_context *c, const struct aio_wait *w)
{
    if (w->plan.choice == WAIT_BLOCK) {
        counter_add(&c->stats.polls_skipped, 1);
        trace_emit(c->core->trace, TRACE_POLL_SKIPPED, c->name, 0);
    } else {
        /* A nap that cannot be, for a timer or a foreign loop, too. */
        counter_add(&c->stats.polls_hopeless, 1);
        trace_emit(c->core->trace, TRACE_POLL_HOPELESS, c->name, 0);
    }
}

/* How long this turn may poll: 0 where polling is off or does not pay. */
static int64_t poll_window_ns(struct aio_context *c, struct aio_wait *w)
{
    if (w->plan.choice == WAIT_QUIET) {
        return 0;
    }
    if (cpu_pair_is_single(&c->core->cpus)) {
        refuse(c, c->params.max_ns);
        return 0;
    }
    if (w->plan.choice != WAIT_POLL) {
        count_none(c, w);
        return 0;
    }
    return unshared_window_ns(c, w, w->plan.window_ns);
}

/* GIL released.  1: there is progress, 0: none, else -errno. */
static int busy_slice(struct aio_context *c, struct aio_wait *w,
                      int64_t deadline_ns)
{
    if (aio_poll_phase(c->core, deadline_ns, &w->peeks)) {
        w->end_ns = clock_now_ns();
        return 1;
    }
    w->end_ns = clock_now_ns();
    return look(w);
}

/*
 * The same, looking now and then where a word in memory does not tell: not once with
 * the GIL, for which it would have to sleep while the call that it waits for runs Python.
 */
static int busy_slices(struct aio_context *c, struct aio_wait *w,
                       int64_t deadline_ns)
{
    int64_t slice_ns;
    int hit;

    do {
        slice_ns = w->look_ns ? w->end_ns + w->look_ns : deadline_ns;
        slice_ns = slice_ns < deadline_ns ? slice_ns : deadline_ns;
        hit = busy_slice(c, w, slice_ns);
        /* An early end means that the partner needs this CPU. */
    } while (!hit && w->end_ns >= slice_ns && w->end_ns < deadline_ns);
    return hit;
}

/* Busy-waits until deadline_ns: 1 progress, 0 none, else -errno or AIO_RAISED. */
static int busy_wait(struct aio_context *c, struct aio_wait *w,
                     int64_t deadline_ns)
{
    int64_t until_ns;
    int hit;

    do {
        until_ns = w->end_ns + (w->host_look_ns ? w->host_look_ns : SIGNAL_NS);
        until_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
        hit = look_with_host(c, w);
        if (hit) {
            return hit;
        }
        aio_leave(c, OWNER_WAITS, false);
        hit = busy_slices(c, w, until_ns);
        aio_enter(c, false);
        if (hit) {
            return hit;
        }
        hit = c->host->signals(c);
        if (hit < 0) {
            return hit;
        }
        if (c->polls != w->poll) {
            return 0; /* a nested poll(): block() looks anew */
        }
        note_lookers(c, w); /* a signal handler may have added an fd */
    } while (w->end_ns >= until_ns && w->end_ns < deadline_ns);
    return 0;
}

/* What a poll phase was. */
static void count_phase(struct aio_context *c, int64_t begin_ns, int64_t end_ns,
                        bool hit)
{
    counter_add(&c->stats.polled_ns, (uint64_t)(end_ns - begin_ns));
    if (hit) {
        cpu_parting_done(&c->parting);
        counter_add(&c->stats.polls_hit, 1);
    } else {
        counter_add(&c->stats.missed_ns, (uint64_t)(end_ns - begin_ns));
        counter_add(&c->stats.polls_missed, 1);
    }
}

int poll_phase_after_nap(struct aio_context *c, struct aio_wait *w, bool slept)
{
    struct cpu_pair *cpus = &c->core->cpus;
    int64_t begin_ns = clock_now_ns(), deadline_ns;
    int hit;

    if (begin_ns < w->nap_ns) {
        return 0; /* a signal has woken it */
    }
    if (slept) {
        sleep_costs_late(&c->sleep, begin_ns - w->nap_ns, true);
    }
    cpu_publish(&cpus->owner);
    if (cpu_pair_is_shared(cpus)) {
        if (!refuse(c, w->plan.window_ns)) {
            return 0;
        }
        cpu_pair_part(cpus, &c->parting);
        begin_ns = clock_now_ns();
    }
    trace_emit_at(c->core->trace, TRACE_RUN_POLL_HANDLERS_BEGIN, c->name,
                  w->plan.window_ns, begin_ns);
    deadline_ns = soonest_timeout_ns(begin_ns + w->plan.window_ns,
                                     w->deadline_ns);
    w->end_ns = begin_ns;
    hit = busy_slices(c, w, deadline_ns);
    trace_emit_at(c->core->trace, TRACE_RUN_POLL_HANDLERS_END, c->name,
                  hit == 1, w->end_ns);
    count_phase(c, begin_ns, w->end_ns, hit == 1);
    w->arrived = hit == 1;
    w->polled_from_ns = begin_ns;
    w->polled_ns = w->end_ns - begin_ns;
    return hit < 0 ? hit : w->n_events;
}

int poll_phase_run(struct aio_context *c, struct aio_wait *w)
{
    int64_t window_ns = poll_window_ns(c, w), begin_ns = w->end_ns, deadline_ns;
    int hit;

    if (!window_ns) {
        return 0;
    }
    deadline_ns = deadline_after_ns(begin_ns, window_ns);
    deadline_ns = soonest_timeout_ns(deadline_ns, w->deadline_ns);
    if (deadline_ns < 0) {
        deadline_ns = INT64_MAX;
    }
    trace_emit_at(c->core->trace, TRACE_RUN_POLL_HANDLERS_BEGIN, c->name,
                  window_ns, begin_ns);
    hit = begin(c, w);
    if (hit == 0) {
        hit = busy_wait(c, w, deadline_ns);
    }
    hit = end(c, w, hit);
    trace_emit_at(c->core->trace, TRACE_RUN_POLL_HANDLERS_END, c->name,
                  hit == 1, w->end_ns);
    count_phase(c, begin_ns, w->end_ns, hit == 1);
    w->arrived = hit == 1;
    return hit;
}

/* What the wake-up that has ended the wait has taken, if there was one. */
static void learn_wake(struct aio_context *c, struct aio_wait *w,
                       int64_t wake_ns)
{
    cpu_publish_lag(&c->core->cpus.owner_lag_ns, w->end_ns - wake_ns);
    if (w->end_ns > wake_ns) {
        c->sleep.wake_ns = poll_tuner_wake_ns(c->sleep.wake_ns,
                                              w->end_ns - wake_ns);
        counter_set(&c->stats.wake_ns, (uint64_t)c->sleep.wake_ns);
    }
}

void poll_phase_learn(struct aio_context *c, struct aio_wait *w)
{
    struct aio_core *core = c->core;
    int64_t wake_ns = atomic_load_explicit(&core->notify.wake_ns,
                                           memory_order_relaxed);

    w->arrived |= aio_poll_progress(core) || aio_sources_peek(c);
    aio_absorb(c);
    /* Woken: the work arrived when the poster said so, not when we came to. */
    if (wake_ns < w->start_ns) {
        wake_ns = w->end_ns;
    }
    learn_wake(c, w, wake_ns);
    if (c->params.max_ns == 0) {
        return; /* polling is off */
    }
    for (struct aio_source *s = c->sources; s; s = s->next) {
        if (s->ops->learn) {
            s->ops->learn(s, w, wake_ns - w->start_ns);
        }
    }
}
