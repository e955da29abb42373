/* SPDX-License-Identifier: MIT
 *
 * See poll_history.h.
 */
#include "tune/poll_history.h"

#define ONE 65536
/* Waits that the moving average is over. */
#define WAITS_MAX 12
/* Of two windows that cost about the same the longer: what is rare may come. */
#define SLACK_SHIFT 4

/* As a fraction of the bound, so that nothing overflows: 1/65536 of it. */
static int64_t window(int i)
{
    return ONE >> (POLL_HISTORY_WINDOWS - 1 - i);
}

/* Mean of the waits that are longer than the window before, up to this one. */
static int64_t middle(int i)
{
    return (window(i) + (i ? window(i - 1) : 0)) / 2;
}

static int64_t scaled_ns(int64_t fraction, int64_t max_ns)
{
    return max_ns / ONE * fraction + max_ns % ONE * fraction / ONE;
}

void poll_history_add(struct poll_history *h, int64_t max_ns, int64_t wait_ns)
{
    int fits = 0;

    while (fits < POLL_HISTORY_WINDOWS &&
           wait_ns > scaled_ns(window(fits), max_ns)) {
        fits++;
    }
    if (h->waits < WAITS_MAX) {
        h->waits++;
    }
    for (int i = 0; i <= POLL_HISTORY_WINDOWS; i++) {
        h->share[i] += ((i == fits ? ONE : 0) - h->share[i]) /
                       (int32_t)h->waits;
    }
}

/* Of a wake-up, as a fraction of the bound. */
static int64_t worth_of(int64_t wake_ns)
{
    return wake_ns > 0 && wake_ns < POLL_HISTORY_DEAR_NS
               ? wake_ns * ONE / POLL_HISTORY_DEAR_NS
               : ONE;
}

int64_t poll_history_worth_ns(int64_t max_ns, int64_t wake_ns)
{
    return scaled_ns(worth_of(wake_ns), max_ns);
}

int64_t poll_history_window_ns(const struct poll_history *h, int64_t max_ns,
                               int64_t wake_ns)
{
    int64_t cost[POLL_HISTORY_WINDOWS], polled = 0, hits = 0;
    int64_t worth = worth_of(wake_ns);
    int64_t least = worth; /* of not polling: a wake-up for each wait */
    int64_t best = 0;

    if (h->waits < POLL_HISTORY_MIN) {
        return -1;
    }
    for (int i = 0; i < POLL_HISTORY_WINDOWS; i++) {
        hits += h->share[i];
        polled += h->share[i] * middle(i) / ONE;
        cost[i] = polled + (ONE - hits) * (window(i) + worth) / ONE;
        least = cost[i] < least ? cost[i] : least;
    }
    for (int i = 0; i < POLL_HISTORY_WINDOWS; i++) {
        if (cost[i] < worth && cost[i] <= least + (worth >> SLACK_SHIFT)) {
            best = window(i);
        }
    }
    return scaled_ns(best, max_ns);
}
