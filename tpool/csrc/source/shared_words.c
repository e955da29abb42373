/* SPDX-License-Identifier: MIT
 *
 * See shared_words.h.
 */
#include "source/shared_words.h"
#include "aio/context.h"

/* Between two looks: each costs a load for each word. */
#define LOOK_NS 500

static struct shared_words *words_of(const struct aio_source *s)
{
    return container_of((struct aio_source *)s, struct shared_words, source);
}

static bool has_changed(struct shared_word *w)
{
    /* Acquire: what was written before it is seen by who is called back. */
    uint32_t now = atomic_load_explicit((_Atomic uint32_t *)w->word,
                                        memory_order_acquire);

    if (!w->equals) {
        return now != w->seen;
    }
    if (now != w->value) { /* from here on it can become it */
        w->seen = now;
        w->unseen = false;
        return false;
    }
    return w->unseen || w->seen != now;
}

static bool any_has_changed(struct shared_words *all)
{
    for (struct shared_word *w = all->first; w; w = w->next) {
        if (has_changed(w)) {
            return true;
        }
    }
    return false;
}

static int plan(struct aio_source *s, struct aio_wait *w, struct wait_plan *out)
{
    struct aio_context *c = s->context;

    (void)w;
    if (words_of(s)->first) {
        out->window_ns = poll_tuner_window_ns(&c->params, s->poll_ns,
                                              c->sleep.wake_ns);
        out->choice = out->window_ns ? WAIT_POLL : WAIT_BLOCK;
    }
    return 0;
}

static int64_t look_ns(struct aio_source *s, struct aio_wait *w)
{
    (void)w;
    return words_of(s)->first ? LOOK_NS : 0;
}

/*
 * Never in the poll phase after a nap, which is without the context: nobody naps who has
 * words to look at.
 */
static int look(struct aio_source *s, struct aio_wait *w)
{
    (void)w;
    return any_has_changed(words_of(s));
}

/*
 * When a word has changed that was found so after a block is not known: it may have been at
 * once.  It is taken to have been just after the window, so that this grows, and is seen to
 * pay or not.
 */
static void learn(struct aio_source *s, struct aio_wait *w, int64_t block_ns)
{
    struct aio_context *c = s->context;
    bool fired = any_has_changed(words_of(s));
    int64_t least_ns = s->poll_ns < c->params.max_ns ? s->poll_ns + 1
                                                     : c->params.max_ns;

    (void)w;
    if (words_of(s)->first) {
        s->poll_ns = aio_source_tune(
            c, s->poll_ns, fired && block_ns > least_ns ? least_ns : block_ns,
            fired);
    }
}

/* The first that this pass has not called for, and that has changed. */
static struct shared_word *next_changed(struct shared_words *all, uint64_t pass)
{
    for (struct shared_word *w = all->first; w; w = w->next) {
        if (w->pass != pass && has_changed(w)) {
            return w;
        }
    }
    return NULL;
}

/* What is called back may add and remove words, and turn the context. */
static int dispatch(struct aio_source *s, struct aio_wait *w, bool *progress)
{
    struct shared_words *all = words_of(s);
    uint64_t pass = ++all->passes;
    struct shared_word *changed;
    int ret = 0;

    (void)w;
    while (ret == 0 && (changed = next_changed(all, pass))) {
        changed->pass = pass;
        changed->seen = atomic_load_explicit((_Atomic uint32_t *)changed->word,
                                             memory_order_acquire);
        changed->unseen = false;
        *progress = true;
        counter_add(&s->context->stats.dispatched, 1);
        ret = changed->changed(changed);
    }
    return ret;
}

static void forget(struct aio_source *s)
{
    s->poll_ns = 0;
}

static const struct aio_source_ops shared_words_ops = {
    .plan = plan,
    .look_ns = look_ns,
    .look = look,
    .learn = learn,
    .dispatch = dispatch,
    .forget = forget,
};

static void bound_blocks(struct shared_words *all, struct aio_context *c)
{
    c->unwoken_ns = 0;
    for (struct shared_word *w = all->first; w; w = w->next) {
        if (w->block_max_ns >= 0 &&
            (!c->unwoken_ns || w->block_max_ns < c->unwoken_ns)) {
            c->unwoken_ns = w->block_max_ns;
        }
    }
}

void shared_words_add(struct shared_words *all, struct aio_context *c,
                      struct shared_word *w)
{
    if (!all->source.ops) {
        all->source.ops = &shared_words_ops;
        aio_source_add(c, &all->source);
    }
    w->seen = atomic_load_explicit((_Atomic uint32_t *)w->word,
                                   memory_order_acquire);
    w->unseen = w->equals;
    w->pass = 0;
    w->next = all->first;
    all->first = w;
    bound_blocks(all, c);
}

void shared_words_remove(struct shared_words *all, struct aio_context *c,
                         struct shared_word *w)
{
    struct shared_word **at = &all->first;

    while (*at && *at != w) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = w->next;
        bound_blocks(all, c);
    }
}
