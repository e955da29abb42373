/* SPDX-License-Identifier: MIT
 *
 * First include of every .c file: feature macros, assertions that stay on, and
 * the few things that the compiler or the processor names differently.
 */
#ifndef TPOOL_BASE_OSDEP_H
#define TPOOL_BASE_OSDEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef NDEBUG

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; what two threads write must not share a line. */
#define CACHE_LINE 64

/* A function for what is seldom: those that call it need no room for what it does. */
#define SELDOM __attribute__((noinline))

#define container_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/*
 * Any thread.  Has the lines of an object that another core has written come
 * here, to be written: worth it where something else is to be done first.
 */
static inline void prefetch_object(const void *p)
{
    __builtin_prefetch(p, 1);
    __builtin_prefetch((const char *)p + CACHE_LINE, 1);
    __builtin_prefetch((const char *)p + 2 * CACHE_LINE, 1);
}

/* Any thread.  One step of a busy wait: tells the core that it is one. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

/*
 * A counter with one writer at a time and readers anywhere.  Relaxed: a reader
 * gets a value that was true a moment ago, which is all a statistic promises.
 */
typedef _Atomic uint64_t counter64;

static inline void counter_add(counter64 *s, uint64_t n)
{
    uint64_t old = atomic_load_explicit(s, memory_order_relaxed);

    atomic_store_explicit(s, old + n, memory_order_relaxed);
}

static inline void counter_set(counter64 *s, uint64_t n)
{
    atomic_store_explicit(s, n, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter64 *s)
{
    return atomic_load_explicit((counter64 *)s, memory_order_relaxed);
}

#endif
