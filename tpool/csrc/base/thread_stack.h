/* SPDX-License-Identifier: MIT
 *
 * How much of the calling thread's stack is left: callbacks that wait may nest
 * until it is used up, and a thread may have 8 MiB of it, or 32 KiB.
 */
#ifndef TPOOL_BASE_THREAD_STACK_H
#define TPOOL_BASE_THREAD_STACK_H

#include "base/osdep.h"

struct thread_stack {
    /* Of one thread: which grows down from high to low.  0, 0: unknown. */
    uintptr_t low, high;
};

/*
 * Any thread: its own.  Takes about 1 us, and 100 us in the process's first
 * thread, whose stack grows.
 */
struct thread_stack thread_stack_get(void);

/* Whether the caller runs on it. */
static inline bool thread_stack_is_mine(const struct thread_stack *s)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    return here - s->low < s->high - s->low;
}

/*
 * Whether so much of it is used that nothing more should be nested.  False where
 * that cannot be told: the caller runs on another stack, say a coroutine's.
 */
static inline bool thread_stack_is_short(const struct thread_stack *s)
{
    uintptr_t size = s->high - s->low, here;
    /*
     * Bytes.  A nested turn takes 4 to 10 KiB, and Python, to tell of an
     * exception, up to 20 (3.12 parses the line once more, to underline a part of
     * it); of a small stack a half has to do.
     */
    uintptr_t reserve = size < 2 * (64 << 10) ? size / 2 : 64 << 10;

    here = (uintptr_t)__builtin_frame_address(0);
    return here - s->low < reserve;
}

#endif
