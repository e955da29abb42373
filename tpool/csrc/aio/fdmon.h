/* SPDX-License-Identifier: MIT
 *
 * fd monitor: waits for many fds with a timeout in nanoseconds.  epoll where it can
 * be had, so that a wait costs what is ready; poll(2) elsewhere.
 *
 * Level-triggered.  The caller numbers its registrations (gen), and gets the
 * number back with each event: an fd that was closed and registered anew does
 * not receive what was meant for its predecessor.
 */
#ifndef TPOOL_AIO_FDMON_H
#define TPOOL_AIO_FDMON_H

#include "base/clock.h"
#include "base/event_notifier.h"

#include <pthread.h>

struct pollfd;

#define FDMON_READ  1u
#define FDMON_WRITE 2u
/* Error or hang-up: reported whatever was asked for. */
#define FDMON_ERROR 4u
/* Not an open fd (poll only; epoll does not say). */
#define FDMON_INVALID 8u

/* Events of one wait at most; what is left over is reported by the next. */
#define FDMON_BATCH 256
/* The fds that a context itself reads from: its notifier, its signal pipe, two bells. */
#define FDMON_OWN 4

struct fdmon_event {
    int fd;
    uint32_t gen;
    uint32_t events;
};

/* Between two looks of a haunted monitor at its fds. */
#define FDMON_HAUNTED_NS (10 * NS_PER_MS)

struct fdmon;

/* The functions below, by one kind of monitor. */
struct fdmon_ops {
    int (*init)(struct fdmon *m);
    void (*cleanup)(struct fdmon *m);
    int (*fileno)(struct fdmon *m); /* NULL: there is none */
    int (*add)(struct fdmon *m, int fd, uint32_t gen, uint32_t events);
    int (*set)(struct fdmon *m, int fd, uint32_t gen, uint32_t events);
    int (*check)(struct fdmon *m, int fd, uint32_t gen, uint32_t events);
    int (*replace)(struct fdmon *m, struct fdmon *by);
    void (*haunt)(struct fdmon *m); /* NULL: it reports what it is asked for */
    int (*wait)(struct fdmon *m, int64_t timeout_ns,
                struct fdmon_event events[FDMON_BATCH]);
};

extern const struct fdmon_ops fdmon_epoll_ops; /* Linux */
extern const struct fdmon_ops fdmon_poll_ops;

struct fdmon {
    const struct fdmon_ops *ops; /* immutable after init */
    /* Protected by the context's lock. */
    const struct event_notifier *own[FDMON_OWN]; /* of fdmon_add_own() */
    int n_own;
    /*
     * It reports an fd that it cannot be told to forget.  Until it is replaced a
     * wait is for its own fds alone, and ends after FDMON_HAUNTED_NS.
     */
    bool haunted;
    union {
        struct {
            int fd;
            int outer; /* what a foreign loop waits on: fd in an epoll; -1: none */
            bool no_pwait2; /* kernel older than 5.11: ms, rounded up */
        } epoll;
        struct {
            pthread_mutex_t lock; /* a wait copies them without the context */
            struct pollfd *fds;
            uint32_t *gens;
            int used, size;
            int next; /* owner: where the next wait begins to look */
        } poll;
    };
};

/* Returns 0 or -errno, in which case nothing is left open. */
int fdmon_init(struct fdmon *m);

/* The same, of this kind. */
int fdmon_init_as(struct fdmon *m, const struct fdmon_ops *ops);

static inline void fdmon_cleanup(struct fdmon *m)
{
    m->ops->cleanup(m);
}

/*
 * Context acquired.  The fd that is readable when any registered one is ready,
 * the same for ever; or -errno (-ENOSYS: no epoll).
 */
static inline int fdmon_fileno(struct fdmon *m)
{
    return m->ops->fileno ? m->ops->fileno(m) : -ENOSYS;
}

/*
 * Context acquired.  Registers fd for events, or changes it; events 0 removes.
 * Returns 0 or -errno (-EBADF: not open; -EPERM: cannot be waited for).  Both do
 * the same: fdmon_add() in one system call where fd is new, fdmon_set() where it
 * is registered.
 */
static inline int fdmon_add(struct fdmon *m, int fd, uint32_t gen,
                            uint32_t events)
{
    return m->ops->add(m, fd, gen, events);
}

static inline int fdmon_set(struct fdmon *m, int fd, uint32_t gen,
                            uint32_t events)
{
    return m->ops->set(m, fd, gen, events);
}

/*
 * Context acquired.  Whether fd still is what was registered with gen and events:
 * 0, or -errno where it was closed, and may stand for another open file.
 */
static inline int fdmon_check(struct fdmon *m, int fd, uint32_t gen,
                              uint32_t events)
{
    return m->ops->check(m, fd, gen, events);
}

/*
 * Context acquired.  Registers one of the few fds that the context itself reads
 * from, with generation 0.  Returns 0 or -errno.
 */
int fdmon_add_own(struct fdmon *m, const struct event_notifier *e);

/*
 * Context acquired.  Whether somebody else has closed the fds: nobody could end a
 * wait, and what is registered may be another's.  A system call: the caller asks
 * before it blocks, and not each time.
 */
bool fdmon_is_gone(const struct fdmon *m);

/*
 * Context acquired.  An fd that was closed while a duplicate lives is reported for
 * ever: epoll cannot be told to stop.  So the caller makes another monitor of the
 * same kind, with what it still wants, which takes m's place.  Returns 0 or -errno,
 * both as before.
 */
static inline int fdmon_replace(struct fdmon *m, struct fdmon *by)
{
    return m->ops->replace(m, by);
}

/* Context acquired.  That cannot be done now, without an fd, say. */
static inline void fdmon_haunt(struct fdmon *m)
{
    if (m->ops->haunt) {
        m->ops->haunt(m);
    }
}

/*
 * Owner.  Waits for timeout_ns (-1: for ever).  Returns how many events were
 * stored, 0 for a time-out or a signal, or -errno.  Another thread may call
 * fdmon_set() meanwhile; with poll(2) it takes effect with the next wait.
 */
static inline int fdmon_wait(struct fdmon *m, int64_t timeout_ns,
                             struct fdmon_event events[FDMON_BATCH])
{
    return m->ops->wait(m, timeout_ns, events);
}

/* Whether fd is among n events. */
bool fdmon_reported(const struct fdmon_event *events, int n, int fd);

/* For the monitors: a timeout in milliseconds, rounded up, as poll(2) has it. */
static inline int fdmon_ms(int64_t timeout_ns)
{
    int64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);

    return timeout_ns < 0 ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* For the monitors: poll(2), with a timeout in nanoseconds. */
int fdmon_poll_ns(struct pollfd *fds, int used, int64_t timeout_ns);

#endif
