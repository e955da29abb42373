/* SPDX-License-Identifier: MIT
 *
 * See dispatch.h.
 */
#include "turn/dispatch.h"

/* Completions and bottom halves of one turn at most, then fds and timers. */
#define DISPATCH_BATCH 64
/* An idle bottom half waits this long for the owner to have something to do. */
#define IDLE_NS (10 * NS_PER_MS)

/* Owner.  Appends node to the batch, or to what waits for idle time. */
static void append(struct completion_node **head, struct completion_node **tail,
                   struct completion_node *node)
{
    node->next = NULL;
    *(*head ? &(*tail)->next : head) = node;
    *tail = node;
}

static struct completion_node *take_first(struct completion_node **head)
{
    struct completion_node *node = *head;

    *head = node->next;
    return node;
}

static bool is_idle(const struct work *w)
{
    return w->ops->is_idle && w->ops->is_idle(w);
}

void aio_take_arrived(struct aio_context *c)
{
    struct completion_node *node, *next;

    for (node = completion_list_take(&c->core->list); node; node = next) {
        next = node->next;
        if (is_idle(work_of(node))) {
            append(&c->idle_head, &c->idle_tail, node);
        } else {
            append(&c->batch_head, &c->batch_tail, node);
        }
    }
}

void aio_reap(struct aio_context *c)
{
    struct completion_node *node, *next;

    for (struct aio_source *s = c->sources; s; s = s->next) {
        for (node = s->ops->reap ? s->ops->reap(s) : NULL; node; node = next) {
            next = node->next;
            append(&c->batch_head, &c->batch_tail, node);
        }
    }
}

int64_t aio_idle_timeout_ns(struct aio_context *c)
{
    for (struct completion_node *n = c->idle_head; n; n = n->next) {
        if (!is_idle(work_of(n))) {
            return 0; /* scheduled in earnest since, or cancelled */
        }
    }
    return c->idle_head ? IDLE_NS : -1;
}

/* Dispatches what came by the list. */
static int run_work(struct aio_context *c, struct work *w, bool *progress)
{
    int ret = w->ops->dispatch(w, progress);

    counter_add(&c->stats.dispatched, 1);
    return ret;
}

int aio_dispatch_work(struct aio_context *c, enum aio_dispatcher who,
                      bool *progress)
{
    struct completion_node *last_idle = c->idle_tail;
    bool post, posted = false;
    int ret = 0;

    /* What is posted costs the loop above its time, not this one: all of it. */
    for (int n = 0; n < DISPATCH_BATCH && c->batch_head && ret == 0;
         n += !post) {
        post = work_of(c->batch_head)->ops->is_post;
        /* A turn nested in this one may have posted, and sets it too. */
        if (who != AIO_TURN && !post && (posted || c->behind)) {
            c->behind = true;
            return 0;
        }
        if (n > 0 && c->timers.used && timers_timeout_ns(&c->timers) == 0) {
            break; /* slow callbacks: the timer first */
        }
        posted |= post;
        c->behind |= post && who != AIO_SELECT;
        ret = run_work(c, work_of(take_first(&c->batch_head)), progress);
    }
    /* A nested poll() may have taken the rest, and the idle ones. */
    while (ret == 0 && c->idle_head && last_idle) {
        struct completion_node *node = take_first(&c->idle_head);

        if (node == last_idle) {
            last_idle = NULL;
        }
        ret = run_work(c, work_of(node), progress);
    }
    return ret;
}

int aio_drain(struct aio_context *c)
{
    /* Bottom halves wait here: they go with the context, or back. */
    struct completion_node *kept_head = NULL, *kept_tail = NULL;
    bool progress;
    int ret = 0;

    aio_absorb(c);
    while (ret == 0 && c->batch_head) {
        struct completion_node *node = take_first(&c->batch_head);
        struct work *w = work_of(node);

        if (w->ops->at_close) {
            ret = w->ops->dispatch(w, &progress);
        } else {
            append(&kept_head, &kept_tail, node);
        }
        aio_absorb(c);
    }
    if (kept_head) {
        kept_tail->next = c->batch_head;
        if (!c->batch_head) {
            c->batch_tail = kept_tail;
        }
        c->batch_head = kept_head;
    }
    return ret;
}
