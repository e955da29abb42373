/* SPDX-License-Identifier: MIT
 *
 * Shared words: step by step; then another thread writes a word and what belongs to it, and
 * the owner looks, and dispatches: it sees the word, and what was written before it.
 */
#include "aio/context.h"
#include "source/shared_words.h"
#include "stress.h"

static struct trace trace; /* off */
static struct aio_core core = {.trace = &trace};
static struct aio_context ctx = {.core = &core};
static struct shared_words words;
static struct aio_wait waiting;
static uint64_t rounds = 20000;

static _Atomic uint32_t word, other;
static uint64_t payload; /* plain: the word publishes it */
static _Atomic uint64_t seen;
static int calls, others;

static int changed(struct shared_word *w)
{
    (void)w;
    calls++;
    return 0;
}

static int other_changed(struct shared_word *w)
{
    others++;
    shared_words_remove(&words, &ctx, w); /* itself, as it is called */
    return 0;
}

static bool look(void)
{
    return words.source.ops->look(&words.source, &waiting) == 1;
}

static bool dispatch(void)
{
    bool progress = false;

    assert(words.source.ops->dispatch(&words.source, &waiting, &progress) == 0);
    return progress;
}

static void put(_Atomic uint32_t *where, uint32_t value)
{
    atomic_store_explicit(where, value, memory_order_release);
}

static void test_steps(void)
{
    struct shared_word plain = {
        .word = &word, .block_max_ns = 5, .changed = changed};
    struct shared_word five = {.word = &other,
                               .equals = true,
                               .value = 5,
                               .block_max_ns = 3,
                               .changed = other_changed};

    shared_words_add(&words, &ctx, &plain);
    assert(ctx.unwoken_ns == 5 && !look() && !dispatch());
    put(&word, 1);
    assert(look() && dispatch() && calls == 1 && !look() && !dispatch());
    shared_words_add(&words, &ctx, &five);
    assert(ctx.unwoken_ns == 3);
    put(&other, 4);
    assert(!look() && !dispatch());
    put(&other, 5);
    put(&word, 0);
    assert(look() && dispatch() && calls == 2 && others == 1);
    assert(ctx.unwoken_ns == 5 && !look());
    shared_words_remove(&words, &ctx, &five); /* it is not there */
    shared_words_remove(&words, &ctx, &plain);
    assert(ctx.unwoken_ns == 0);
    plain.block_max_ns = -1;
    shared_words_add(&words, &ctx, &plain);
    assert(ctx.unwoken_ns == 0);
    shared_words_remove(&words, &ctx, &plain);
    put(&word, 7);
    assert(!look() && !dispatch());
}

static int received(struct shared_word *w)
{
    assert(payload == w->seen);
    atomic_store_explicit(&seen, payload, memory_order_release);
    return 0;
}

static void *write_often(void *arg)
{
    struct rng r;

    (void)arg;
    rng_init(&r, 1);
    for (uint64_t i = 1; i <= rounds; i++) {
        random_delay(&r);
        payload = i;
        put(&word, (uint32_t)i);
        WAIT_UNTIL(atomic_load_explicit(&seen, memory_order_acquire) == i);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct shared_word w = {
        .word = &word, .block_max_ns = -1, .changed = received};
    pthread_t writer;

    rounds = count_arg(argc, argv, rounds);
    test_steps();
    put(&word, 0);
    shared_words_add(&words, &ctx, &w);
    writer = thread_start(write_often, NULL);
    while (atomic_load_explicit(&seen, memory_order_relaxed) < rounds) {
        WAIT_UNTIL(look());
        assert(dispatch());
    }
    thread_join(writer);
    printf("shared_words: %llu changes\n", (unsigned long long)rounds);
    return 0;
}
