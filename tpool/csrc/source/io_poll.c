/* SPDX-License-Identifier: MIT
 *
 * See io_poll.h.  The host_state of a wait is the list of its handlers, ended by NULL.
 */
#include "source/io_poll.h"
#include "aio/context.h"

#include <errno.h>

/* Between two looks: each takes the language for as long as the callbacks do. */
#define LOOK_NS 2000

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;
    struct fd_handler **handlers;
    int64_t poll_ns = 0;

    if (!c->fds.pollable || w->foreign) {
        return 0;
    }
    handlers = fds_pollable(&c->fds);
    if (!handlers) {
        return -ENOMEM;
    }
    for (int i = 0; handlers[i]; i++) {
        if (handlers[i]->poll_ns > poll_ns) {
            poll_ns = handlers[i]->poll_ns;
        }
    }
    w->host_state = handlers;
    out->window_ns = poll_tuner_window_ns(&c->params, poll_ns,
                                          c->sleep.wake_ns);
    out->choice = out->window_ns ? WAIT_POLL : WAIT_BLOCK;
    return 0;
}

static int64_t look_ns(struct aio_source *s, struct aio_wait *w)
{
    (void)s;
    return w->host_state ? LOOK_NS : 0;
}

static int begin(struct aio_source *s, struct aio_wait *w)
{
    struct fd_handler **handlers = w->host_state;
    int ret = 0;

    (void)s;
    while (ret == 0 && handlers && handlers[w->begun]) {
        struct fd_handler *h = handlers[w->begun++];

        ret = h->ops->poll_begin(h);
    }
    return ret;
}

/* Has those end that have begun, whatever is raised. */
static int end(struct aio_source *s, struct aio_wait *w)
{
    struct fd_handler **handlers = w->host_state;
    int ret = 0;

    (void)s;
    for (int i = 0; i < w->begun; i++) {
        if (handlers[i]->ops->poll_end(handlers[i]) < 0) {
            ret = AIO_RAISED;
        }
    }
    w->begun = 0;
    return ret;
}

static int look(struct aio_source *s, struct aio_wait *w)
{
    struct fd_handler **handlers = w->host_state;
    int any = 0;

    (void)s;
    for (int i = 0; handlers[i]; i++) {
        struct fd_handler *h = handlers[i];
        int ready = h->ops->poll(h);

        if (ready < 0) {
            return ready;
        }
        h->polled = ready ? w->poll : 0;
        any |= ready;
    }
    return any;
}

static bool has_fired(const struct aio_wait *w, const struct fd_handler *h)
{
    bool fired = h->polled == w->poll;

    for (int i = 0; i < w->n_events && !fired; i++) {
        fired = w->events[i].gen == h->gen;
    }
    return fired;
}

static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct fd_handler **handlers = w->host_state;

    for (int i = 0; handlers && handlers[i]; i++) {
        struct fd_handler *h = handlers[i];

        h->poll_ns = aio_source_tune(s->context, h->poll_ns, block_ns,
                                     has_fired(w, h));
    }
}

static int dispatch(struct aio_source *s, struct aio_wait *w, bool *progress)
{
    (void)s;
    return w->host_state ? fds_dispatch_polled(w->host_state, w->poll, progress)
                         : 0;
}

static void finish(struct aio_source *s, struct aio_wait *w)
{
    (void)s;
    if (w->host_state) {
        fds_unref_all(w->host_state);
    }
}

static int64_t window(const struct aio_source *s)
{
    const struct fd_table *fds = &s->context->fds;
    int64_t poll_ns = 0;

    for (int fd = 0; fd < fds->size; fd++) {
        const struct fd_handler *h = fds->by_fd[fd];

        if (h && h->pollable && h->poll_ns > poll_ns) {
            poll_ns = h->poll_ns;
        }
    }
    return poll_ns;
}

static void forget(struct aio_source *s)
{
    struct fd_table *fds = &s->context->fds;

    for (int fd = 0; fd < fds->size; fd++) {
        if (fds->by_fd[fd]) {
            fds->by_fd[fd]->poll_ns = 0;
        }
    }
}

static const struct aio_source_ops io_poll_ops = {
    .plan = plan,
    .look_ns = look_ns,
    .begin = begin,
    .end = end,
    .look = look,
    .learn = learn,
    .dispatch = dispatch,
    .finish = finish,
    .window = window,
    .forget = forget,
};

void io_poll_init(struct aio_source *s)
{
    s->ops = &io_poll_ops;
    s->with_host = true;
}
