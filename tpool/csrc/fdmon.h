/* SPDX-License-Identifier: MIT
 *
 * fd monitor: waits for many fds with a timeout in nanoseconds.  epoll where
 * there is one, so that a wait costs what is ready; poll(2) elsewhere.
 *
 * Level-triggered.  The caller numbers its registrations (gen), and gets the
 * number back with each event: an fd that was closed and registered anew does
 * not receive what was meant for its predecessor.
 */
#ifndef TPOOL_FDMON_H
#define TPOOL_FDMON_H

#include "clock.h"

#if defined(__linux__) && !defined(TPOOL_NO_EPOLL)
#define FDMON_EPOLL 1
#else
#include <poll.h>
#include <pthread.h>
#endif

#define FDMON_READ  1u
#define FDMON_WRITE 2u
/* Error or hang-up: reported whatever was asked for. */
#define FDMON_ERROR 4u
/* Not an open fd (poll only; epoll does not say). */
#define FDMON_INVALID 8u

/* Events of one wait at most; what is left over is reported by the next. */
#define FDMON_BATCH 256

struct fdmon_event {
    int fd;
    uint32_t gen;
    uint32_t events;
};

struct fdmon {
    /* Protected by the context's lock. */
#ifdef FDMON_EPOLL
    int epfd;
    int outer; /* what a foreign loop waits on: epfd in an epoll; -1: none yet */
    bool no_pwait2; /* kernel older than 5.11: timeouts in ms, rounded up */
#else
    pthread_mutex_t lock; /* a wait copies the arrays without the context */
    struct pollfd *fds;
    uint32_t *gens;
    int used, size;
    int next; /* owner: where the next wait begins to look, for all are seen */
#endif
};

/* Returns 0 or -errno, in which case nothing is left open. */
int fdmon_init(struct fdmon *m);
void fdmon_cleanup(struct fdmon *m);

/*
 * Context acquired.  The fd that is readable when any registered one is ready,
 * the same for ever; or -errno (-ENOSYS: no epoll).
 */
int fdmon_fileno(struct fdmon *m);

/*
 * Context acquired.  Registers fd for events, or changes it; events 0 removes.
 * Returns 0 or -errno (-EBADF: not open; -EPERM: cannot be waited for).  Both do
 * the same: fdmon_add() in one system call where fd is new, fdmon_set() where it
 * is registered.
 */
int fdmon_add(struct fdmon *m, int fd, uint32_t gen, uint32_t events);
int fdmon_set(struct fdmon *m, int fd, uint32_t gen, uint32_t events);

/*
 * Context acquired.  Forgets every registration, also of an fd that was closed
 * while a duplicate lives: epoll goes on reporting it and cannot be told to
 * stop.  The caller registers anew what it still wants.  Returns 0 or -errno.
 */
int fdmon_reset(struct fdmon *m);

/*
 * Owner.  Waits for timeout_ns (-1: for ever).  Returns how many events were stored, 0 for a time-out or
 * a signal, or -errno.  Another thread may call fdmon_set() meanwhile; with
 * poll(2) it takes effect with the next wait.
 */
int fdmon_wait(struct fdmon *m, int64_t timeout_ns,
               struct fdmon_event events[FDMON_BATCH]);

/* Whether fd is among n events. */
bool fdmon_reported(const struct fdmon_event *events, int n, int fd);

#endif
