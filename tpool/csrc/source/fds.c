/* SPDX-License-Identifier: MIT
 *
 * See fds.h.
 */
#include "source/fds.h"
#include "aio/context.h"

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

void fds_init(struct aio_source *s)
{
    s->ops = &fds_ops;
}
