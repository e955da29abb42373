/* SPDX-License-Identifier: MIT
 *
 * See uring.h.
 */
#include "source/uring.h"
#include "aio/context.h"

#include <sys/stat.h>

/* Works that have come, the oldest first. */
struct chain {
    struct completion_node *head, **end;
};

static void list_add(struct uring_entry **list, struct uring_entry *e)
{
    e->next = *list;
    e->link = list;
    if (e->next) {
        e->next->link = &e->next;
    }
    *list = e;
}

static void list_remove(struct uring_entry *e)
{
    *e->link = e->next;
    if (e->next) {
        e->next->link = e->link;
    }
    e->link = NULL;
}

/* To the kernel, with the next call. */
static void fly(struct uring_source *u, struct uring_entry *e)
{
    list_add(&u->flying, e);
    u->n_flying++;
    uring_add(&u->ring, e->io, e, e->elsewhere);
    u->source.owes = true;
}

/* It has ended. */
static void land(struct uring_source *u, struct uring_entry *e, int64_t ret,
                 struct chain *ended)
{
    list_remove(e);
    u->n_flying--;
    e->ret = ret;
    e->work->link.next = NULL;
    *ended->end = &e->work->link;
    ended->end = &e->work->link.next;
}

static struct uring_entry *take_waiting(struct uring_source *u,
                                        struct uring_entry *e)
{
    if (!e->next) {
        u->end = e->link;
    }
    list_remove(e);
    e->waiting = false;
    u->n_waiting--;
    return e;
}

static bool is_passing(int err)
{
    return err == -EAGAIN || err == -EBUSY || err == -ENOMEM;
}

/* What the kernel refuses for good has ended by that. */
static void submit(struct uring_source *u, struct chain *ended)
{
    struct uring_entry *e;
    int ret;

    while (u->waiting && u->n_flying < u->ring.entries) {
        fly(u, take_waiting(u, u->waiting));
    }
    ret = uring_submit(&u->ring);
    if (ret < 0 && !is_passing(ret)) {
        while ((e = uring_take_back(&u->ring))) {
            land(u, e, ret, ended);
        }
    }
    u->source.owes = u->ring.unshown != 0;
}

/* The thread that gave it to the kernel ended before it was begun: this one does. */
static void again(struct uring_source *u, struct uring_entry *e)
{
    list_remove(e);
    u->n_flying--;
    e->again = true;
    fly(u, e);
}

static void collect(struct uring_source *u, struct chain *ended)
{
    struct uring_entry *e;
    int64_t ret;

    while ((e = uring_take(&u->ring, &ret))) {
        if (ret == -ECANCELED && !e->again) {
            again(u, e);
        } else {
            land(u, e, ret, ended);
        }
    }
    /* Relaxed: this thread alone writes it. */
    u->source.peek.idle = atomic_load_explicit(u->ring.cq_head,
                                               memory_order_relaxed);
}

static struct completion_node *reap(struct aio_source *s)
{
    struct uring_source *u = container_of(s, struct uring_source, source);
    struct chain ended = {NULL, &ended.head};

    if (!u->n_flying) {
        return NULL;
    }
    if (s->owes) {
        submit(u, &ended);
    }
    collect(u, &ended);
    if (u->waiting && u->n_flying < u->ring.entries) {
        submit(u, &ended);
    }
    return ended.head;
}

/* As calls in flight they are waited for already: only where to look is told. */
static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct uring_source *u = container_of(s, struct uring_source, source);

    (void)out;
    if (u->n_flying) {
        w->peeks.peeks[w->peeks.n++] = s->peek;
    }
    return 0;
}

static const struct aio_source_ops uring_ops = {
    .plan = plan,
    .reap = reap,
};

void uring_source_init(struct uring_source *u)
{
    *u = (struct uring_source){.ring = URING_NONE, .source.ops = &uring_ops};
    u->end = &u->waiting;
}

/* Among the fds that the context waits for itself.  Returns 0 or -errno. */
static int hang_bell(struct uring_source *u, struct aio_context *c)
{
    struct stat st;

    if (fstat(u->ring.fd, &st) < 0) {
        return -errno;
    }
    u->bell = (struct event_notifier){
        .rfd = u->ring.fd, .wfd = -1, .dev = st.st_dev, .ino = st.st_ino};
    return fdmon_add_own(&c->fdmon, &u->bell);
}

int uring_source_open(struct uring_source *u, struct aio_context *c,
                      uint32_t entries)
{
    int ret = uring_init(&u->ring, entries);

    if (ret == 0) {
        ret = hang_bell(u, c);
    }
    if (ret < 0) {
        uring_cleanup(&u->ring);
        return ret;
    }
    u->source.peek = (struct aio_peek){u->ring.cq_tail, UINT32_MAX, 0};
    aio_source_add(c, &u->source);
    return 0;
}

void uring_source_add(struct uring_source *u, struct uring_entry *e)
{
    if (u->n_flying < u->ring.entries && !u->waiting) {
        e->waiting = false;
        fly(u, e);
        return;
    }
    e->next = NULL;
    e->link = u->end;
    e->waiting = true;
    *u->end = e;
    u->end = &e->next;
    u->n_waiting++;
}

bool uring_source_cancel(struct uring_source *u, struct uring_entry *e)
{
    if (!e->waiting) {
        return false;
    }
    take_waiting(u, e);
    return true;
}

void uring_source_flush(struct uring_source *u)
{
    if (u->source.owes && uring_submit(&u->ring) == 0) {
        u->source.owes = false;
    }
}

static void drop(struct completion_node *node)
{
    while (node) {
        struct work *w = work_of(node);

        node = node->next;
        w->ops->drop(w);
    }
}

int uring_source_wait(struct uring_source *u)
{
    int ret = 0;

    if (!u->n_flying) {
        return 0;
    }
    if (!aio_peek(&u->source.peek)) {
        uring_source_flush(u);
        ret = uring_wait(&u->ring);
    }
    return ret == 0 || is_passing(ret) ? 1 : ret;
}

/* The number of its fd may be another's: somebody has closed what he does not know. */
static void let_go(struct uring_source *u, void (*cleanup)(struct uring *))
{
    if (u->ring.fd >= 0 && !event_notifier_is_ours(&u->bell, u->ring.fd)) {
        u->ring.fd = -1;
    }
    cleanup(&u->ring);
    u->source.peek.word = NULL;
    u->source.owes = false;
}

void uring_source_close(struct uring_source *u)
{
    struct chain ended = {NULL, &ended.head};
    int ret = 1;

    while (u->waiting) {
        struct uring_entry *e = take_waiting(u, u->waiting);

        e->work->ops->drop(e->work);
    }
    /* An error that stays: it was closed by somebody.  What it writes to is kept. */
    while (u->n_flying && (ret > 0 || ret == -EINTR)) {
        submit(u, &ended);
        collect(u, &ended);
        ret = uring_source_wait(u);
    }
    drop(ended.head);
    let_go(u, uring_cleanup);
}

void uring_source_abandon(struct uring_source *u)
{
    u->flying = u->waiting = NULL;
    u->n_flying = u->n_waiting = 0;
    let_go(u, uring_abandon);
}
