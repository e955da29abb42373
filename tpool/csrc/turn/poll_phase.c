/* SPDX-License-Identifier: MIT
 *
 * The poll phase of a turn: how long it may last, the busy wait, self-tuning.
 */
#include "aio/handoff.h"
#include "turn/poll_phase.h"

/* The main thread looks for signals this often while it polls. */
#define SIGNAL_NS (1 * NS_PER_MS)
/* After the owner has left the CPU: the worker there is only being woken. */
#define PARTED_NS 100000
/* Between two looks at Python's io_poll callbacks. */
#define IO_POLL_NS 2000

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

bool aio_looks(const struct aio_context *c)
{
    return c->interleaved && c->fds.count > 0 && !c->fdmon.haunted;
}

/* Asks every pollable handler: 1 if one is ready, 0, AIO_RAISED. */
static int poll_handlers(struct aio_wait *w)
{
    int any = 0;

    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        struct fd_handler *h = w->pollable[i];
        int ready = h->ops->poll(h);

        if (ready < 0) {
            return ready;
        }
        h->polled = ready ? w->poll : 0;
        any |= ready;
    }
    return any;
}

/* Has every pollable handler begin, of *begun where one raises. */
static int poll_begin(struct aio_wait *w, int *begun)
{
    int ret = 0;

    for (*begun = 0; ret == 0 && w->pollable && w->pollable[*begun];) {
        struct fd_handler *h = w->pollable[(*begun)++];

        ret = h->ops->poll_begin(h);
    }
    return ret;
}

/* Has those end that have begun, whatever is raised. */
static int poll_end(struct aio_wait *w, int begun, int hit)
{
    for (int i = 0; i < begun; i++) {
        struct fd_handler *h = w->pollable[i];

        if (h->ops->poll_end(h) < 0) {
            hit = AIO_RAISED;
        }
    }
    return hit;
}

/* A phase cannot begin, beside the worker on one CPU; whether it is time to part. */
static bool refuse(struct aio_context *c, int64_t window_ns)
{
    counter_add(&c->stats.polls_refused, 1);
    trace_emit(c->core->trace, TRACE_POLL_REFUSED, c->name, window_ns);
    return cpu_parting_is_due(&c->parting, &c->core->cpus);
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

void poll_phase_plan(struct aio_context *c, struct aio_wait *w)
{
    struct aio_core *core = c->core;

    w->plan = (struct call_plan){.choice = CALL_BLOCK};
    if (!w->work || cpu_pair_is_single(&core->cpus)) {
        return;
    }
    w->plan = call_table_plan(
        &core->calls, &c->params, &c->sleep,
        atomic_load_explicit(&core->in_flight, memory_order_relaxed),
        c->poll_ns, w->start_ns);
}

/* No poll phase is begun: why. */
static void count_none(struct aio_context *c, const struct aio_wait *w)
{
    if (w->work && w->plan.choice == CALL_BLOCK) {
        counter_add(&c->stats.polls_skipped, 1);
        trace_emit(c->core->trace, TRACE_POLL_SKIPPED, c->name, 0);
    } else if (w->work && w->plan.choice != CALL_POLL) {
        /* A nap that cannot be, for a timer or a foreign loop, too. */
        counter_add(&c->stats.polls_hopeless, 1);
        trace_emit(c->core->trace, TRACE_POLL_HOPELESS, c->name, 0);
    }
}

/* How long this turn may poll: 0 where polling is off or does not pay. */
static int64_t poll_window_ns(struct aio_context *c, struct aio_wait *w)
{
    int64_t window_ns = 0, notify_ns = 0;

    if (cpu_pair_is_single(&c->core->cpus)) {
        if (w->work || w->pollable) {
            refuse(c, c->params.max_ns);
        }
        return 0;
    }
    if (poll_phase_for_notify(c) && c->notify_poll_ns) {
        notify_ns = c->notify_poll_ns + c->sleep.wake_ns;
    }
    for (int i = 0; w->pollable && w->pollable[i]; i++) {
        if (w->pollable[i]->poll_ns > window_ns) {
            window_ns = w->pollable[i]->poll_ns;
        }
    }
    window_ns = poll_tuner_window_ns(&c->params, window_ns, c->sleep.wake_ns);
    if (w->plan.choice == CALL_POLL && w->plan.window_ns > window_ns) {
        window_ns = w->plan.window_ns;
    }
    window_ns = window_ns > notify_ns ? window_ns : notify_ns;
    if (!window_ns) {
        count_none(c, w);
    }
    return unshared_window_ns(c, w, window_ns);
}

/* GIL released.  1: there is progress, 0: none, else -errno. */
static int busy_slice(struct aio_context *c, struct aio_wait *w,
                      int64_t deadline_ns)
{
    if (aio_poll_phase(c->core, deadline_ns)) {
        w->end_ns = clock_now_ns();
        return 1;
    }
    w->end_ns = clock_now_ns();
    if (!w->looks) {
        return 0;
    }
    c->looked_ns = w->end_ns;
    w->n_events = fdmon_wait(&c->fdmon, 0, w->events);
    return w->n_events > 0 ? 1 : w->n_events;
}

/*
 * The same, looking at the fds now and then: not once with the GIL, for which it
 * would have to sleep while the call that it waits for runs Python.
 */
static int busy_slices(struct aio_context *c, struct aio_wait *w,
                       int64_t deadline_ns)
{
    int64_t slice_ns;
    int hit;

    do {
        slice_ns = w->looks ? w->end_ns + FD_LOOK_NS : deadline_ns;
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
        until_ns = w->end_ns + (w->pollable ? IO_POLL_NS : SIGNAL_NS);
        until_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
        hit = poll_handlers(w);
        if (hit) {
            return hit;
        }
        aio_leave(c, OWNER_WAITS, false);
        hit = busy_slices(c, w, until_ns);
        aio_enter(c, false);
        if (hit < 0) {
            w->n_events = 0;
            return hit;
        }
        if (hit) {
            return 1;
        }
        hit = c->host->signals(c);
        if (hit < 0) {
            return hit;
        }
        if (c->polls != w->poll) {
            return 0; /* a nested poll(): block() looks anew */
        }
        w->looks = aio_looks(c); /* a signal handler may have added one */
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

int poll_phase_after_nap(struct aio_context *c, struct aio_wait *w)
{
    struct cpu_pair *cpus = &c->core->cpus;
    int64_t begin_ns = clock_now_ns(), deadline_ns;
    int hit;

    if (begin_ns < w->nap_ns) {
        return 0; /* a signal has woken it */
    }
    sleep_costs_late(&c->sleep, begin_ns - w->nap_ns, true);
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
    w->polled_from_ns = begin_ns;
    w->polled_ns = w->end_ns - begin_ns;
    return hit < 0 ? hit : w->n_events;
}

int poll_phase_run(struct aio_context *c, struct aio_wait *w)
{
    int64_t window_ns = poll_window_ns(c, w), begin_ns = w->end_ns, deadline_ns;
    int hit, begun;

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
    hit = poll_begin(w, &begun);
    if (hit == 0) {
        hit = busy_wait(c, w, deadline_ns);
    }
    hit = poll_end(w, begun, hit);
    if (hit == 0) {
        /* What came before io_poll_end turned notifications on again. */
        hit = poll_handlers(w);
    }
    trace_emit_at(c->core->trace, TRACE_RUN_POLL_HANDLERS_END, c->name,
                  hit == 1, w->end_ns);
    count_phase(c, begin_ns, w->end_ns, hit == 1);
    return hit;
}
