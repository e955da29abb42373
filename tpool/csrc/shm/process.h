/* SPDX-License-Identifier: MIT
 *
 * Process: who it is that shares memory with this one, and whether it still lives.  A
 * number of a process is given anew when it has died; with the time at which it was
 * started it names one.
 */
#ifndef TPOOL_SHM_PROCESS_H
#define TPOOL_SHM_PROCESS_H

#include "base/osdep.h"

/* This process, in 64 bits: never 0 nor UINT64_MAX.  Returns 0 or -errno. */
int process_self(uint64_t *id);

/*
 * An fd that is readable once that process is dead; the id may be garbage.  Returns it,
 * -ESRCH: it is dead already, or none that can be seen from here; or -errno.
 */
int process_open(uint64_t id);

/* Whether the process of that fd is dead. */
bool process_is_dead(int fd);

#endif
