/* SPDX-License-Identifier: MIT
 *
 * Fd union: an fd that is readable while one of some others is, for who sleeps on them all,
 * or hangs them into a loop that takes one.
 */
#ifndef TPOOL_SHM_FD_UNION_H
#define TPOOL_SHM_FD_UNION_H

#include "base/osdep.h"

/* Returns the fd, or -errno. */
int fd_union_open(void);

/* Any thread.  One more, for as long as it is open.  Returns 0 or -errno. */
int fd_union_add(int all, int fd);

/*
 * Any thread.  One less.  close() alone does not do it while a process that was forked has
 * the fd too.
 */
void fd_union_remove(int all, int fd);

/*
 * Any thread.  Sleeps until one is readable, at most for timeout_ns (-1: for ever).  Returns
 * 1; 0: none was; -EINTR: a signal handler has run; or -errno.
 */
int fd_union_wait(int all, int64_t timeout_ns);

#endif
