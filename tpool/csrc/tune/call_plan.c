/* SPDX-License-Identifier: MIT
 *
 * See call_plan.h.
 */
#include "tune/call_plan.h"
#include "tune/batch.h"

/* Weights of the newest value: 1/16, half of what RFC 6298 has, so that values
 * that drift are seen to be off, and 1/4. */
#define MEAN_SHIFT 4
#define DEV_SHIFT  2
/* What is longer by more than so many deviations says little: a host that stops
 * for a moment.  If it stays so, the deviation grows by a quarter each time. */
#define OUTLIER        2
#define OUTLIER_MIN_NS 1000
/* Before any sleep was seen: what a wake-up takes where it is not dear. */
#define LATE_START_NS     25000
#define LATE_START_DEV_NS 5000
/* The shortest nap: from the plan to the sleep takes some of it. */
#define NAP_MIN_NS 5000
/* By what part less late a sleep is taken to be each time that no nap fits: 1/256. */
#define DOUBT_SHIFT 8

void moving_add(struct moving *m, int64_t ns)
{
    int64_t error_ns = ns - m->mean_ns;

    if (!m->mean_ns) {
        m->mean_ns = ns;
        m->dev_ns = ns / 2;
        return;
    }
    if (error_ns > OUTLIER * m->dev_ns + OUTLIER_MIN_NS) {
        error_ns = OUTLIER * m->dev_ns + OUTLIER_MIN_NS;
    }
    m->mean_ns += error_ns >> MEAN_SHIFT;
    error_ns = error_ns < 0 ? -error_ns : error_ns;
    m->dev_ns += (error_ns - m->dev_ns) >> DEV_SHIFT;
}

void sleep_costs_init(struct sleep_costs *costs)
{
    *costs = (struct sleep_costs){
        .late = {LATE_START_NS, LATE_START_DEV_NS},
    };
}

void sleep_costs_late(struct sleep_costs *costs, int64_t late_ns, bool over)
{
    if (over || late_ns > costs->late.mean_ns) {
        moving_add(&costs->late, late_ns);
    }
}

void call_history_init(struct call_history *s, int64_t poll_ns)
{
    poll_window_init(&s->poll, poll_ns);
    s->took = s->ran = (struct moving){0, 0};
}

/*
 * Longer than any window, and as long as the last ones: the phase after a nap would
 * hit most ends, and what is polled for one, about two deviations and what sleeps
 * vary by, is less than the wake-up that it saves is worth.
 */
static bool is_regular(const struct call_history *s,
                       const struct poll_params *params, int64_t wake_ns)
{
    int64_t worth_ns = poll_history_worth_ns(params->max_ns, wake_ns);

    return s->took.mean_ns > params->max_ns &&
           s->took.mean_ns / POLL_PAYS_BOUNDS <= params->max_ns &&
           s->took.dev_ns <= worth_ns / 3;
}

/* How long the nap before a call's expected end is; 0: it would be over after that. */
static int64_t nap_ns(int64_t dev_ns, const struct sleep_costs *costs,
                      int64_t left_ns, int64_t window_ns)
{
    int64_t margin_ns = 2 * (dev_ns + costs->late.dev_ns);
    int64_t ns = left_ns - costs->late.mean_ns;

    if (ns < NAP_MIN_NS) {
        return 0;
    }
    /* The window must reach beyond the expected end. */
    ns -= margin_ns < window_ns / 2 ? margin_ns : window_ns / 2;
    return ns > NAP_MIN_NS ? ns : NAP_MIN_NS;
}

/* left_ns: until the expected end, give or take dev_ns.  WAIT_BLOCK: no nap fits. */
static struct wait_plan plan_nap(int64_t dev_ns,
                                 const struct poll_params *params,
                                 struct sleep_costs *costs, int64_t left_ns)
{
    struct wait_plan plan = {.choice = WAIT_BLOCK};
    int64_t window_ns = params->max_ns < NAP_POLL_MAX_NS ? params->max_ns
                                                         : NAP_POLL_MAX_NS;
    int64_t ns = nap_ns(dev_ns, costs, left_ns, window_ns);

    if (ns) {
        plan = (struct wait_plan){
            .choice = WAIT_NAP, .window_ns = window_ns, .nap_ns = ns};
    } else if (left_ns <= params->max_ns) { /* it has come late to the wait */
        plan = (struct wait_plan){.choice = WAIT_POLL,
                                  .window_ns = params->max_ns};
    } else { /* whether sleeps are still so late only another one can tell */
        costs->late.mean_ns -= costs->late.mean_ns >> DOUBT_SHIFT;
    }
    return plan;
}

struct wait_plan call_plan(struct call_history *s,
                           const struct poll_params *params,
                           struct sleep_costs *costs, int64_t age_ns)
{
    /* First: it says of each wait whether the source is tried again by it. */
    int64_t window_ns = poll_window_next_ns(&s->poll, params, costs->wake_ns);
    struct wait_plan plan = {.choice = WAIT_BLOCK};
    int64_t left_ns = s->took.mean_ns - age_ns;
    bool known = age_ns >= 0 && s->took.mean_ns;

    if (known && left_ns > 0 && params->hybrid && !s->poll.poll_ns &&
        is_regular(s, params, costs->wake_ns)) {
        plan = plan_nap(s->took.dev_ns, params, costs, left_ns);
        if (plan.choice != WAIT_BLOCK) {
            return plan;
        }
    }
    plan.window_ns = window_ns;
    if (plan.window_ns) {
        plan.choice = WAIT_POLL;
        if (known && left_ns - 2 * s->took.dev_ns > plan.window_ns) {
            plan = (struct wait_plan){.choice = WAIT_HOPELESS};
        }
    }
    return plan;
}

struct wait_plan call_plan_batch(const struct call_history *s,
                                 const struct poll_params *params,
                                 struct sleep_costs *costs, int64_t batch_ns)
{
    struct wait_plan plan = {.choice = WAIT_BLOCK};

    if (params->hybrid && batch_ns > params->max_ns &&
        batch_ns <= BATCH_MAX_NS) {
        plan = plan_nap(s->ran.dev_ns, params, costs, batch_ns);
        plan.batch = true;
    }
    return plan;
}
