/* SPDX-License-Identifier: MIT
 *
 * See fds.h.
 */
#include "source/fds.h"
#include "aio/context.h"

static int64_t look_ns(struct aio_source *s, struct aio_wait *w)
{
    struct aio_context *c = s->context;

    (void)w;
    return c->fds.count && !c->fdmon.haunted ? FD_LOOK_NS : 0;
}

/* Not once with the GIL: who looks for a call would have to wait for that call's. */
static int look(struct aio_source *s, struct aio_wait *w)
{
    struct aio_context *c = s->context;
    int n;

    c->looked_ns = w->end_ns;
    n = fdmon_wait(&c->fdmon, 0, w->events);
    w->n_events = n > 0 ? n : 0;
    return n > 0 ? 1 : n;
}

static int dispatch(struct aio_source *s, struct aio_wait *w, bool *progress)
{
    struct aio_context *c = s->context;

    if (!w->n_events) {
        return 0;
    }
    return fds_dispatch(&c->fds, &c->fdmon, w->events, w->n_events, w->poll,
                        w->removals, progress);
}

static const struct aio_source_ops fds_ops = {.dispatch = dispatch};

static const struct aio_source_ops fds_looks_ops = {
    .look_ns = look_ns,
    .look = look,
};

void fds_init(struct aio_source *s)
{
    s->ops = &fds_ops;
}

void fds_looks_init(struct aio_source *s)
{
    s->ops = &fds_looks_ops;
}
