/* SPDX-License-Identifier: MIT
 *
 * See fd_polls.h.
 */
#include "source/fd_polls.h"
#include "aio/context.h"

/* So many times what a look takes passes between two: words are looked at meanwhile. */
#define LOOK_SHARE  3
#define LOOK_MIN_NS 1000
/* Weight of the newest look: 1/8. */
#define COST_SHIFT 3
/* Waits in a row of which polling saves nothing, until none is polled for. */
#define VAIN_MAX 16
/* What ends a block sooner than any wake-up was ready. */
#define READY_NS 5000

static struct fd_polls *polls_of(struct aio_source *s)
{
    return container_of(s, struct fd_polls, source);
}

static bool has_fds(const struct aio_context *c)
{
    return c->fds.count && !c->fdmon.haunted;
}

/* What it takes to be woken by an fd: no more is known of it. */
static int64_t wake_ns(const struct aio_context *c)
{
    return c->sleep.wake_ns ? c->sleep.wake_ns : POLL_MAX_NS_DEFAULT;
}

static void forget(struct aio_source *s)
{
    poll_window_init(&polls_of(s)->window, 0);
    s->poll_ns = 0;
}

/* Not beside calls: see event_trial.h. */
static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    struct fd_polls *polls = polls_of(s);

    (void)w;
    s->poll_ns = polls->looks = 0;
    if (has_fds(c) && event_trial_is_on(polls->trial) &&
        !event_trial_blocks(polls->trial) &&
        !cpu_pair_is_single(&c->core->cpus)) {
        s->poll_ns = poll_window_next_ns(&polls->window, &c->params,
                                         wake_ns(c));
    }
    if (s->poll_ns) {
        /* Who is to answer sleeps, most often, and is to wake first. */
        *out = (struct wait_plan){
            .choice = WAIT_POLL,
            .window_ns = wait_plan_late_ns(s->poll_ns, c->sleep.wake_ns)};
    }
    return 0;
}

static int64_t look_ns(struct aio_source *s, struct aio_wait *w)
{
    int64_t ns = LOOK_SHARE * polls_of(s)->cost_ns;

    (void)w;
    if (!has_fds(s->context)) {
        return 0;
    }
    if (!s->poll_ns) {
        return FD_LOOK_NS;
    }
    return ns > LOOK_MIN_NS ? ns : LOOK_MIN_NS;
}

/* A look that takes longer than one in ten microseconds allows was interrupted. */
static void learn_cost(struct fd_polls *polls, int64_t ns)
{
    int64_t max_ns = FD_LOOK_NS / LOOK_SHARE;

    polls->cost_ns += ((ns < max_ns ? ns : max_ns) - polls->cost_ns) >>
                      COST_SHIFT;
}

/* Not once with the GIL: who looks for a call would have to wait for that call's. */
static int look(struct aio_source *s, struct aio_wait *w)
{
    struct aio_context *c = s->context;
    struct fd_polls *polls = polls_of(s);
    int n = fdmon_wait(&c->fdmon, 0, w->events);

    c->looked_ns = w->end_ns;
    if (s->poll_ns) {
        c->looked_ns = clock_now_ns();
        learn_cost(polls, c->looked_ns - w->end_ns);
        polls->looks++;
    }
    w->n_events = n > 0 ? n : 0;
    return n > 0 ? 1 : n;
}

/*
 * The window after a wait: what is ready at the first look is not polled for, nor what
 * something else comes before.
 */
static void tune(struct fd_polls *polls, bool woken, bool fired,
                 int64_t block_ns)
{
    struct aio_context *c = polls->source.context;
    bool ready = polls->looks ? polls->looks == 1 : block_ns < READY_NS;
    bool vain = fired ? ready : block_ns <= c->params.max_ns;

    polls->vain = vain ? polls->vain + 1 : 0;
    if (polls->vain >= VAIN_MAX) {
        poll_window_init(&polls->window, 0);
    } else if (!vain) {
        /* Its wake-up, and the owner's own. */
        block_ns = poll_tuner_wait_ns(block_ns, (1 + woken) * wake_ns(c), 0);
        aio_source_trace(c,
                         poll_window_tune(&polls->window, &c->params, block_ns),
                         polls->window.poll_ns);
    }
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct fd_polls *polls = polls_of(s);

    if (has_fds(s->context) && event_trial_is_on(polls->trial)) {
        tune(polls, !w->arrived, aio_wait_user_events(w) > 0, block_ns);
    }
}

static const struct aio_source_ops fd_polls_ops = {
    .plan = plan,
    .look_ns = look_ns,
    .look = look,
    .learn = learn,
    .forget = forget,
};

void fd_polls_init(struct fd_polls *polls, const struct event_trial *trial,
                   struct aio_context *c)
{
    polls->source.ops = &fd_polls_ops;
    polls->trial = trial;
    aio_source_add(c, &polls->source);
    forget(&polls->source);
}
