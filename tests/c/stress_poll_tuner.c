/* SPDX-License-Identifier: MIT
 *
 * Poll tuner, and the source with its history: the rules of design section 4 on
 * fixed cases, then the bounds on random ones, up to the largest numbers there are.
 */
#include "stress.h"
#include "tune/poll_window.h"

static int64_t next(int64_t max, int64_t grow, int64_t shrink, int64_t poll_ns,
                    int64_t block_ns, enum poll_verdict expected)
{
    struct poll_params params = {.max_ns = max, .grow = grow, .shrink = shrink};
    enum poll_verdict verdict;
    int64_t ns = poll_tuner_next_ns(&params, poll_ns, block_ns, &verdict);

    assert(verdict == expected);
    return ns;
}

static int64_t window(int64_t max, int64_t poll_ns, int64_t wake_ns)
{
    struct poll_params params = {.max_ns = max};

    return poll_tuner_window_ns(&params, poll_ns, wake_ns);
}

static void test_rules(void)
{
    /* The sweet spot is left alone. */
    assert(next(32768, 0, 0, 8000, 8000, POLL_KEEP) == 8000);
    assert(next(32768, 0, 0, 8000, 0, POLL_KEEP) == 8000);
    /* Too long to poll for: shrink, to nothing where no divisor is given. */
    assert(next(32768, 0, 0, 8000, 32769, POLL_SHRINK) == 0);
    assert(next(32768, 0, 4, 8000, 32769, POLL_SHRINK) == 2000);
    assert(next(32768, 0, 0, 0, 32769, POLL_KEEP) == 0);
    /* A longer window would have caught it: grow. */
    assert(next(32768, 0, 0, 0, 1, POLL_GROW) == POLL_GROW_START_NS);
    assert(next(32768, 0, 0, 4000, 32768, POLL_GROW) == 8000);
    assert(next(32768, 3, 0, 4000, 5000, POLL_GROW) == 12000);
    assert(next(32768, 0, 0, 20000, 30000, POLL_GROW) == 32768);
    assert(next(1000, 0, 0, 0, 500, POLL_GROW) == 1000);
    /* Polling off: nothing grows. */
    assert(next(0, 0, 0, 0, 1, POLL_KEEP) == 0);
    /* A window is as long as a wake-up, within the bound; nothing stays. */
    assert(window(32768, 4000, 20000) == 20000);
    assert(window(32768, 24000, 20000) == 24000);
    assert(window(32768, 4000, 50000) == 32768);
    assert(window(32768, 0, 20000) == 0);
    assert(poll_tuner_wake_ns(0, 800) == 800);
    assert(poll_tuner_wake_ns(800, 1600) == 900);
    assert(poll_tuner_wake_ns(1600, 800) == 1500);
    /* No overflow. */
    assert(next(INT64_MAX, INT64_MAX, 0, INT64_MAX / 2, INT64_MAX, POLL_GROW) ==
           INT64_MAX);
}

static int64_t any_ns(struct rng *r)
{
    uint64_t bits = (uint64_t)rng_next(r) << 32 | rng_next(r);

    /* As many small numbers as large ones. */
    return (int64_t)(bits >> (1 + rng_below(r, 63)));
}

/* Whatever a source has seen, its window is within the bound. */
static void test_source(struct rng *r)
{
    struct poll_params params = {.max_ns = any_ns(r)};
    struct poll_window s;

    poll_window_init(&s, 0);
    for (int i = 0; i < 40; i++) {
        int64_t ns = poll_window_next_ns(&s, &params, any_ns(r));

        assert(ns >= 0 && ns <= params.max_ns);
        poll_window_tune(&s, &params, any_ns(r));
        assert(s.poll_ns >= 0 && s.poll_ns <= params.max_ns);
    }
}

int main(int argc, char **argv)
{
    uint64_t rounds = count_arg(argc, argv, 1000000);
    struct rng r;

    test_rules();
    rng_init(&r, 1);
    for (uint64_t i = 0; i < rounds / 100; i++) {
        test_source(&r);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        struct poll_params params = {
            .max_ns = any_ns(&r), .grow = any_ns(&r), .shrink = any_ns(&r)};
        int64_t poll_ns = any_ns(&r), block_ns = any_ns(&r), ns;
        enum poll_verdict verdict;

        poll_ns = poll_ns > params.max_ns ? params.max_ns : poll_ns;
        ns = poll_tuner_next_ns(&params, poll_ns, block_ns, &verdict);
        assert(ns >= 0 && ns <= params.max_ns);
        assert(verdict == (ns > poll_ns   ? POLL_GROW
                           : ns < poll_ns ? POLL_SHRINK
                                          : POLL_KEEP));
        assert(block_ns <= params.max_ns || ns <= poll_ns);
        assert(block_ns > params.max_ns || ns >= poll_ns);
        assert(block_ns > poll_ns || ns == poll_ns);
        ns = poll_tuner_window_ns(&params, poll_ns, block_ns);
        assert(ns >= poll_ns && ns <= params.max_ns && !ns == !poll_ns);
        assert(!poll_ns || ns >= block_ns || ns == params.max_ns);
        ns = poll_tuner_wake_ns(poll_ns, block_ns);
        assert(poll_ns ? (ns - poll_ns) * (block_ns > poll_ns ? 1 : -1) >= 0
                       : ns == block_ns);
    }
    printf("poll_tuner: %llu cases\n", (unsigned long long)rounds);
    return 0;
}
