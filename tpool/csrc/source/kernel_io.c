/* SPDX-License-Identifier: MIT
 *
 * See kernel_io.h.
 */
#include "source/kernel_io.h"
#include "aio/context.h"

#include <time.h>

/* Until the kernel is asked again that had no memory: as long as a device may take. */
#define RETRY_NS NS_PER_MS

/* The kernel has no less than three of four that are in flight. */
#define UNSHOWN_SHARE 4

/* So many threads may end before one is there that does it. */
#define AGAIN_MAX 100

/* Works that have come, the oldest first. */
struct chain {
    struct completion_node *head, **end;
};

static void list_add(struct kernel_io_entry **list, struct kernel_io_entry *e)
{
    e->next = *list;
    e->link = list;
    if (e->next) {
        e->next->link = &e->next;
    }
    *list = e;
}

static void list_remove(struct kernel_io_entry *e)
{
    *e->link = e->next;
    if (e->next) {
        e->next->link = e->link;
    }
    e->link = NULL;
}

/* To the kernel, with the next show(). */
static void fly(struct kernel_io *k, struct kernel_io_entry *e)
{
    list_add(&k->flying, e);
    k->n_flying++;
    io_queue_add(&k->queue, e->io, e);
    k->source.owes = true;
}

/* It has ended. */
static void land(struct kernel_io *k, struct kernel_io_entry *e, int64_t ret,
                 struct chain *ended)
{
    list_remove(e);
    k->n_flying--;
    e->ret = ret;
    e->work->link.next = NULL;
    *ended->end = &e->work->link;
    ended->end = &e->work->link.next;
}

static struct kernel_io_entry *take_waiting(struct kernel_io *k,
                                            struct kernel_io_entry *e)
{
    if (!e->next) {
        k->end = e->link;
    }
    list_remove(e);
    e->waiting = false;
    k->n_waiting--;
    return e;
}

static bool is_passing(int err)
{
    return err == -EAGAIN || err == -EBUSY || err == -ENOMEM;
}

/*
 * Hands what was added to the kernel.  Returns 0, or -errno: what it refuses only now is
 * tried again, what it refuses for good is left to the next turn.
 */
static int show(struct kernel_io *k)
{
    int ret = io_queue_submit(&k->queue);

    k->source.owes = ret < 0 && !is_passing(ret);
    k->source.retry_ns = is_passing(ret) ? clock_now_ns() + RETRY_NS : 0;
    return ret;
}

/* What is refused for good has ended by that. */
static void submit(struct kernel_io *k, struct chain *ended)
{
    int ret;

    do {
        while (k->waiting && k->n_flying < k->queue.entries) {
            fly(k, take_waiting(k, k->waiting));
        }
        ret = show(k);
        if (k->source.owes) {
            land(k, io_queue_take_back(&k->queue), ret, ended);
        }
    } while (k->source.owes); /* then there is room for another */
}

/*
 * The thread that gave it to the kernel ended before it was begun: this one does.  So it
 * does with what a cancel() in vain has interrupted.
 */
static void again(struct kernel_io *k, struct kernel_io_entry *e)
{
    list_remove(e);
    k->n_flying--;
    e->again++;
    fly(k, e);
}

static void collect(struct kernel_io *k, struct chain *ended)
{
    struct kernel_io_entry *e;
    int64_t ret;

    while ((e = io_queue_take(&k->queue, &ret))) {
        if ((ret == -ECANCELED || ret == -EINTR) && !e->cancelled &&
            e->again < AGAIN_MAX) {
            again(k, e);
        } else {
            land(k, e, ret, ended);
        }
    }
    /* Relaxed: this thread alone writes it. */
    k->source.peek.idle = atomic_load_explicit(k->queue.head,
                                               memory_order_relaxed);
}

static struct completion_node *reap(struct aio_source *s)
{
    struct kernel_io *k = container_of(s, struct kernel_io, source);
    struct chain ended = {NULL, &ended.head};

    if (!k->n_flying && k->queue.unheard <= 0) {
        return NULL;
    }
    if (s->owes || (s->retry_ns && clock_now_ns() >= s->retry_ns)) {
        submit(k, &ended);
    }
    collect(k, &ended);
    if (ended.head && (k->waiting || s->retry_ns)) {
        submit(k, &ended); /* there is room now */
    }
    return ended.head;
}

/* As calls in flight they are waited for already: only where to look is told. */
static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct kernel_io *k = container_of(s, struct kernel_io, source);

    (void)out;
    if (k->n_flying) {
        w->peeks.peeks[w->peeks.n++] = s->peek;
    }
    return 0;
}

static const struct aio_source_ops kernel_io_ops = {
    .plan = plan,
    .reap = reap,
};

void kernel_io_init(struct kernel_io *k, const struct io_queue_ops *ops)
{
    *k = (struct kernel_io){.queue = io_queue_none(ops),
                            .source.ops = &kernel_io_ops};
    k->end = &k->waiting;
}

int kernel_io_open(struct kernel_io *k, struct aio_context *c, uint32_t entries)
{
    int ret = io_queue_open(&k->queue, entries);

    if (ret < 0) {
        return ret;
    }
    ret = fdmon_add_own(&c->fdmon, &k->queue.bell);
    if (ret < 0) {
        io_queue_close(&k->queue);
        return ret;
    }
    k->source.peek = (struct aio_peek){k->queue.tail, UINT32_MAX, 0};
    aio_source_add(c, &k->source);
    return 0;
}

void kernel_io_add(struct kernel_io *k, struct kernel_io_entry *e)
{
    e->in = k;
    if (k->n_flying < k->queue.entries && !k->waiting) {
        e->waiting = false;
        fly(k, e);
        /* The device does not wait for the end of a turn that goes on asking. */
        if (UNSHOWN_SHARE * k->queue.unshown >= k->n_flying &&
            !k->source.retry_ns) {
            show(k);
        }
        return;
    }
    e->next = NULL;
    e->link = k->end;
    e->waiting = true;
    *k->end = e;
    k->end = &e->next;
    k->n_waiting++;
}

bool kernel_io_cancel(struct kernel_io_entry *e, bool *now)
{
    *now = e->waiting;
    if (e->waiting) {
        take_waiting(e->in, e);
        return true;
    }
    /* What is not on a list has ended. */
    e->cancelled = e->link && io_queue_cancel(&e->in->queue, e);
    return e->cancelled;
}

bool kernel_io_flush(struct kernel_io *k)
{
    if (k->source.owes) {
        show(k);
    }
    return !k->queue.unshown;
}

static void drop(struct completion_node *node)
{
    while (node) {
        struct work *w = work_of(node);

        node = node->next;
        w->ops->drop(w);
    }
}

int kernel_io_wait(struct kernel_io *k)
{
    static const struct timespec retry = {.tv_nsec = RETRY_NS};
    int ret = 0;

    if (!k->n_flying) {
        return 0;
    }
    if (!aio_peek(&k->source.peek)) {
        kernel_io_flush(k);
        if (k->queue.unshown < k->n_flying) {
            ret = io_queue_wait(&k->queue);
        } else {
            /* It has none that could end. */
            ret = nanosleep(&retry, NULL) < 0 ? -errno : 0;
        }
    }
    return ret == 0 || is_passing(ret) ? 1 : ret;
}

/* What tells of it goes first: nobody looks at what is not there any more. */
static struct io_queue *let_go(struct kernel_io *k)
{
    k->source.peek.word = NULL;
    k->source.owes = false;
    k->source.retry_ns = 0;
    return &k->queue;
}

void kernel_io_close(struct kernel_io *k)
{
    struct chain ended = {NULL, &ended.head};
    int ret = 1;

    /* An error that stays: it was closed by somebody.  What it writes to is kept. */
    while ((k->n_flying || k->waiting) && (ret >= 0 || ret == -EINTR)) {
        submit(k, &ended);
        collect(k, &ended);
        ret = kernel_io_wait(k);
    }
    while (k->waiting) {
        struct kernel_io_entry *e = take_waiting(k, k->waiting);

        e->work->ops->drop(e->work);
    }
    drop(ended.head);
    io_queue_close(let_go(k));
}

void kernel_io_abandon(struct kernel_io *k)
{
    k->flying = k->waiting = NULL;
    k->n_flying = k->n_waiting = 0;
    io_queue_abandon(let_go(k));
}
