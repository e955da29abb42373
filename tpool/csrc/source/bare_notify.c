/* SPDX-License-Identifier: MIT
 *
 * See bare_notify.h.
 */
#include "source/bare_notify.h"
#include "aio/context.h"

/* Waits in a row without one until none is polled for. */
#define MISSED_MAX 16

static struct bare_notify *bare_of(struct aio_source *s)
{
    return container_of(s, struct bare_notify, source);
}

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    const struct bare_notify *b = bare_of(s);
    struct aio_context *c = s->context;

    (void)w;
    if (s->poll_ns && !event_trial_blocks(b->trial) &&
        !cpu_pair_is_single(&c->core->cpus)) {
        out->choice = WAIT_POLL;
        out->window_ns = wait_plan_late_ns(s->poll_ns, c->sleep.wake_ns);
    }
    return 0;
}

/*
 * Nobody says whether a thread of others is at work: after some waits that fds,
 * or calls, have ended none is expected any more.
 */
static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct aio_context *c = s->context;
    struct bare_notify *b = bare_of(s);
    bool fired = notify_is_notified(&c->core->notify) ||
                 (c->batch_head && work_of(c->batch_head)->ops->is_post);

    (void)w;
    block_ns = poll_tuner_wait_ns(block_ns, c->sleep.wake_ns, 0);
    b->missed = fired ? 0 : b->missed + 1;
    s->poll_ns = b->missed >= MISSED_MAX
                     ? 0
                     : aio_source_tune(c, s->poll_ns, block_ns, fired);
}

static void forget(struct aio_source *s)
{
    s->poll_ns = 0;
}

static const struct aio_source_ops bare_notify_ops = {
    .plan = plan,
    .learn = learn,
    .forget = forget,
};

void bare_notify_init(struct bare_notify *b, const struct event_trial *trial,
                      struct aio_context *c)
{
    b->source.ops = &bare_notify_ops;
    b->trial = trial;
    aio_source_add(c, &b->source);
}
