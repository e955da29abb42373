/* SPDX-License-Identifier: MIT
 *
 * See core.h.
 */
#include "aio/core.h"

#include <errno.h>
#include <stdlib.h>

/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16

int aio_core_new(struct aio_core **out, struct trace *trace)
{
    struct aio_core *core = aligned_alloc(
        CACHE_LINE, (sizeof(*core) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    int ret;

    if (!core) {
        return -ENOMEM;
    }
    completion_list_init(&core->list);
    cpu_pair_init(&core->cpus);
    atomic_init(&core->batching, 0);
    atomic_init(&core->batch_end_ns, 0);
    atomic_init(&core->backs_vain, 0);
    atomic_init(&core->back_skips, 0);
    atomic_init(&core->posted, 0);
    atomic_init(&core->posts_run, 0);
    atomic_init(&core->in_flight, 0);
    atomic_init(&core->kernel_calls, 0);
    atomic_init(&core->done, 0);
    atomic_init(&core->flight_ns, 0);
    call_table_init(&core->calls);
    atomic_init(&core->refs, 1);
    atomic_init(&core->posters, 0);
    atomic_init(&core->detached, false);
    atomic_init(&core->owner_tid, 0);
    core->trace = trace;
    ret = notify_init(&core->notify);
    if (ret < 0) {
        free(core);
        return ret;
    }
    *out = core;
    return 0;
}

struct aio_core *aio_core_ref(struct aio_core *core)
{
    /* Relaxed: the caller holds a reference, it is there. */
    atomic_fetch_add_explicit(&core->refs, 1, memory_order_relaxed);
    return core;
}

void aio_core_unref(struct aio_core *core)
{
    /* Acquire-release: what others did before their unref comes before this. */
    if (atomic_fetch_sub_explicit(&core->refs, 1, memory_order_acq_rel) == 1) {
        notify_cleanup(&core->notify);
        free(core);
    }
}

static void drop_list(struct aio_core *core)
{
    struct completion_node *link, *next;

    for (link = completion_list_take(&core->list); link; link = next) {
        next = link->next;
        work_of(link)->ops->drop(work_of(link));
    }
}

void aio_core_close(struct aio_core *core)
{
    notify_unblock(&core->notify); /* a foreign loop may have waited */
    /* C */
    atomic_fetch_or_explicit(&core->posters, POSTERS_CLOSED,
                             memory_order_acq_rel);
    aio_core_close_notifier(core);
}

void aio_core_detach(struct aio_core *core)
{
    /* Seq_cst with the load below: either side, or both, drops the list. */
    atomic_store_explicit(&core->detached, true, memory_order_seq_cst);
    drop_list(core);
}

void aio_core_drop_undelivered(struct aio_core *core)
{
    if (aio_core_is_detached(core)) {
        drop_list(core);
    }
}

void aio_core_post(struct aio_core *core, struct completion_node *node)
{
    completion_list_push(&core->list, node);
    notify_post(&core->notify);
}

void aio_core_post_early(struct aio_core *core, struct completion_node *node)
{
    completion_list_push(&core->list, node);
    notify_post_early(&core->notify);
}

bool aio_poll_progress(struct aio_core *core)
{
    return completion_list_peek(&core->list) ||
           notify_is_notified(&core->notify);
}

bool aio_poll_phase(struct aio_core *core, int64_t deadline_ns,
                    const struct aio_peeks *peeks)
{
    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (aio_poll_progress(core) || aio_peek_any(peeks)) {
                return true;
            }
            cpu_relax();
        }
        if (!(cpu_pair_worker_comes(&core->cpus) &&
              cpu_pair_yield(&core->cpus)) &&
            cpu_pair_is_shared(&core->cpus)) {
            return false;
        }
    } while (clock_now_ns() < deadline_ns);
    return false;
}

int aio_poll_block(struct aio_core *core, struct fdmon *m, int64_t timeout_ns,
                   struct fdmon_event events[FDMON_BATCH])
{
    int n = fdmon_wait(m, timeout_ns, events);

    notify_unblock(&core->notify);
    return n;
}
