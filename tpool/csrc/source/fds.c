/* SPDX-License-Identifier: MIT
 *
 * See fds.h.
 */
#include "source/fds.h"
#include "aio/context.h"

/* Not once with the GIL: who looks for a call would have to wait for that call's. */
static int look(struct aio_source *s, struct aio_context *c, struct aio_wait *w)
{
    int n;

    (void)s;
    if (!c->fds.count || c->fdmon.haunted) {
        return 0;
    }
    c->looked_ns = w->end_ns;
    n = fdmon_wait(&c->fdmon, 0, w->events);
    w->n_events = n > 0 ? n : 0;
    return n > 0 ? 1 : n;
}

static int dispatch(struct aio_source *s, struct aio_context *c,
                    struct aio_wait *w, bool *progress)
{
    (void)s;
    if (c->fdmon.haunted) {
        fds_begin_anew(&c->fds, &c->fdmon); /* there may be an fd now */
    }
    if (!w->n_events) {
        return 0;
    }
    return fds_dispatch(&c->fds, &c->fdmon, w->events, w->n_events, w->poll,
                        w->removals, progress);
}

static const struct aio_source_ops fds_ops = {
    .look = look,
    .dispatch = dispatch,
};

void fds_init(struct aio_source *s)
{
    s->ops = &fds_ops;
}
