/* SPDX-License-Identifier: MIT
 *
 * See foreign.h.
 */
#include "turn/foreign.h"

struct foreign_wait aio_foreign_suspend(struct aio_context *c)
{
    struct notify *n = &c->core->notify;
    struct foreign_wait found = {.waits = notify_me(n) & NOTIFY_FOREIGN,
                                 .told_ns = c->told_ns};

    if (found.waits) {
        notify_unblock(n);
        notify_lower(n, NOTIFY_FOREIGN);
    }
    return found;
}

/* Whether who was told to wait until told_ns would wait too long. */
static bool waits_beyond(int64_t told_ns, int64_t due_ns)
{
    return due_ns >= 0 && (told_ns < 0 || due_ns < told_ns);
}

void aio_set_due(struct aio_context *c, int64_t due_ns)
{
    if ((notify_me(&c->core->notify) & NOTIFY_FOREIGN) &&
        waits_beyond(c->told_ns, due_ns)) {
        notify_bare(&c->core->notify);
    }
}

/* Two may have been told something: the later is relied on. */
void aio_foreign_resume(struct aio_context *c, struct foreign_wait found)
{
    struct notify *n = &c->core->notify;
    struct foreign_wait now = aio_foreign_suspend(c);

    if (!found.waits && !now.waits) {
        return;
    }
    if (!now.waits ||
        (found.waits && waits_beyond(found.told_ns, now.told_ns))) {
        c->told_ns = found.told_ns;
    }
    notify_raise(n, NOTIFY_FOREIGN);
    if (c->batch_head || aio_sources_peek(c) ||
        waits_beyond(c->told_ns, wait_due_at_ns(c)) ||
        !notify_may_block(n, &c->core->list)) {
        /* The fd is the only thing that a foreign loop looks at. */
        notify_write(n);
    }
}

/*
 * The poll phase before a foreign loop's own wait, for completions alone: 1
 * progress, 0 none, else an error.  What a miss teaches is known when they come.
 */
static int foreign_poll(struct aio_context *c, int64_t timeout_ns)
{
    struct aio_wait w = {.poll = c->polls, .foreign = true};
    int hit = wait_begin(c, &w, timeout_ns);

    if (hit == 0 && w.work) {
        hit = poll_phase_run(c, &w);
        if (hit > 0) {
            poll_phase_learn(c, &w);
        }
    }
    wait_finish(c, &w);
    if (hit <= 0 && w.work) {
        c->foreign_wait_ns = w.start_ns;
    }
    return hit;
}

/* The foreign loop's wait that follows a poll phase in vain is over. */
static void foreign_tune(struct aio_context *c)
{
    if (c->foreign_wait_ns && completion_list_peek(&c->core->list)) {
        struct aio_wait w = {.start_ns = c->foreign_wait_ns,
                             .end_ns = clock_now_ns(),
                             .work = true};

        poll_phase_learn(c, &w);
        c->foreign_wait_ns = 0;
    }
}

int aio_prepare(struct aio_context *c, int64_t *timeout_ns)
{
    struct foreign_wait found = aio_foreign_suspend(c);
    struct notify *notify = &c->core->notify;
    int hit = 0;

    aio_absorb(c);
    *timeout_ns = wait_due_ns(c);
    notify_raise(notify, NOTIFY_FOREIGN);
    if (*timeout_ns != 0) {
        c->told_ns = 0; /* signal handlers run: nobody waits yet */
        hit = foreign_poll(c, *timeout_ns);
        aio_foreign_suspend(
            c); /* one of them may have called check(), or not */
        notify_raise(notify, NOTIFY_FOREIGN);
    }
    if (hit < 0) {
        aio_foreign_suspend(c);
        aio_foreign_resume(c, found);
        return hit;
    }
    if (hit > 0 || !notify_may_block(notify, &c->core->list)) {
        *timeout_ns = 0;
    } else {
        *timeout_ns = wait_due_ns(
            c); /* time has passed, signal handlers have run */
    }
    c->told_ns = *timeout_ns ? wait_due_at_ns(c) : 0;
    return 0;
}

/* No fd is registered: what the wait has reported was closed. */
static void drop_ghosts(struct aio_context *c, struct aio_wait *w)
{
    int i = 0;

    while (w->events[i].gen == 0) {
        i++;
    }
    fds_drop_ghost(&c->fds, &c->fdmon, w->events[i].fd);
    w->n_events = 0;
}

int aio_check(struct aio_context *c, bool *ready)
{
    struct aio_wait w = {.n_events = 0};

    aio_foreign_suspend(c);
    w.n_events = fdmon_wait(&c->fdmon, 0, w.events);
    if (w.n_events < 0) {
        return w.n_events;
    }
    wait_accept(c, &w);
    if (!c->fds.count && aio_wait_user_events(&w)) {
        /* dispatch() looks at no fd then, and the foreign loop would spin. */
        drop_ghosts(c, &w);
    }
    foreign_tune(c);
    aio_absorb(c);
    *ready = c->batch_head || c->idle_head || aio_sources_peek(c) ||
             timers_timeout_ns(&c->timers) == 0 || aio_wait_user_events(&w) > 0;
    return 0;
}
