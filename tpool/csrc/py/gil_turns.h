/* SPDX-License-Identifier: MIT
 *
 * GIL turns: who has been told something by a thread that is about to wait lets it do
 * so first.  A thread that asks for the GIL while another one has it sleeps on it, and
 * has to be woken; one that looks on for a moment finds it free.
 */
#ifndef TPOOL_PY_GIL_TURNS_H
#define TPOOL_PY_GIL_TURNS_H

#include "py/state.h"

#ifndef Py_GIL_DISABLED

/* GIL held.  What to tell who is told something now. */
static inline uint32_t gil_turn(const struct module_state *state)
{
    /* Relaxed, as below: who misreads it waits a moment longer, or sleeps. */
    return atomic_load_explicit(&state->gil_turns, memory_order_relaxed);
}

/* GIL released, by a thread that is going to wait. */
static inline void gil_turn_end(struct module_state *state)
{
    atomic_fetch_add_explicit(&state->gil_turns, 1, memory_order_relaxed);
}

/*
 * GIL released, about to ask for it.  Waits until somebody has let go of it since that
 * turn, but not for long: who has it may not be about to wait.  mask: what of it was told.
 */
void gil_turn_await(struct module_state *state, uint32_t turn, uint32_t mask);

#else

static inline uint32_t gil_turn(const struct module_state *state)
{
    (void)state;
    return 0;
}

static inline void gil_turn_end(struct module_state *state)
{
    (void)state;
}

static inline void gil_turn_await(struct module_state *state, uint32_t turn,
                                  uint32_t mask)
{
    (void)state;
    (void)turn;
    (void)mask;
}

#endif
#endif
