/* SPDX-License-Identifier: MIT
 *
 * See source.h.
 */
#include "aio/context.h"

#include <assert.h>

void aio_source_add(struct aio_context *c, struct aio_source *s)
{
    assert(c->n_sources < AIO_SOURCES_MAX);
    c->n_sources++;
    c->words |= s->peek.word != NULL;
    c->phases |= s->ops->begin || s->ops->end;
    c->looks |= s->ops->look_ns != NULL;
    c->reaps |= s->ops->reap != NULL;
    s->context = c;
    s->next = c->sources;
    c->sources = s;
}

bool aio_sources_peek(const struct aio_context *c)
{
    for (const struct aio_source *s = c->words ? c->sources : NULL; s;
         s = s->next) {
        if (s->owes || (s->peek.word && aio_peek(&s->peek))) {
            return true;
        }
    }
    return false;
}

int64_t aio_sources_retry_ns(const struct aio_context *c)
{
    int64_t soonest_ns = -1;

    for (const struct aio_source *s = c->words ? c->sources : NULL; s;
         s = s->next) {
        if (s->retry_ns) {
            soonest_ns = soonest_timeout_ns(soonest_ns,
                                            time_left_ns(s->retry_ns));
        }
    }
    return soonest_ns;
}

void aio_source_trace(struct aio_context *c, enum poll_verdict verdict,
                      int64_t next_ns)
{
    if (verdict != POLL_KEEP) {
        trace_emit(c->core->trace,
                   verdict == POLL_GROW ? TRACE_POLL_GROW : TRACE_POLL_SHRINK,
                   c->name, next_ns);
    }
}

int64_t aio_source_tune(struct aio_context *c, int64_t poll_ns,
                        int64_t block_ns, bool fired)
{
    enum poll_verdict verdict;
    int64_t next_ns;

    if (!fired && block_ns <= c->params.max_ns) {
        return poll_ns; /* another came first: nothing is learned */
    }
    next_ns = poll_tuner_next_ns(&c->params, poll_ns, block_ns, &verdict);
    aio_source_trace(c, verdict, next_ns);
    return next_ns;
}
