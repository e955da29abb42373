/* SPDX-License-Identifier: MIT
 *
 * See gil_turns.h.
 */
#include "py/gil_turns.h"
#include "base/clock.h"

#ifndef Py_GIL_DISABLED
/* Looks of a busy wait between two looks at the clock. */
#define SPINS_PER_CLOCK 16
/* About the cost of the sleep that it saves. */
#define AWAIT_NS 20000

void gil_turn_await(struct module_state *state, uint32_t turn, uint32_t mask)
{
    int64_t end_ns = deadline_in_ns(AWAIT_NS);

    do {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if ((gil_turn(state) ^ turn) & mask) {
                return;
            }
            cpu_relax();
        }
    } while (time_left_ns(end_ns));
}
#endif
