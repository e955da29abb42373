/* SPDX-License-Identifier: MIT
 *
 * The fd monitor by epoll, where a wait costs what is ready: see fdmon.h.
 */
#include "aio/fdmon.h"

#ifdef __linux__
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static int monitor_init(struct fdmon *m)
{
    m->epoll.outer = -1;
    m->epoll.fd = epoll_create1(EPOLL_CLOEXEC);
    return m->epoll.fd < 0 ? -errno : 0;
}

/*
 * Whether epfd stands for an epoll that has fd, one of ours, in it.  Asked by a
 * change to what it is already; one of somebody else refuses it.
 */
static bool has(int epfd, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint32_t)fd};

    return epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) == 0;
}

/*
 * Whether epfd and outer are still what was opened: an epoll cannot be told from
 * another but by what is in it, a pipe of ours.
 */
static bool is_ours(const struct fdmon *m, int epfd)
{
    if (epfd < 0) {
        return false;
    }
    for (int i = 0; i < m->n_own; i++) {
        const struct event_notifier *e = m->own[i];

        if (event_notifier_is_ours(e, e->rfd) && has(epfd, e->rfd)) {
            return true;
        }
    }
    return m->n_own == 0; /* just opened */
}

static bool outer_is_ours(const struct fdmon *m)
{
    return m->epoll.outer >= 0 &&
           ((is_ours(m, m->epoll.fd) && has(m->epoll.outer, m->epoll.fd)) ||
            (m->haunted && is_ours(m, m->epoll.outer)));
}

static void monitor_cleanup(struct fdmon *m)
{
    bool outer = outer_is_ours(m), inner = is_ours(m, m->epoll.fd);

    if (outer) {
        close(m->epoll.outer);
    }
    if (inner) {
        close(m->epoll.fd);
    }
    m->epoll.fd = m->epoll.outer = -1;
}

static int watch_inner(struct fdmon *m)
{
    struct epoll_event ev = {.events = EPOLLIN};

    return epoll_ctl(m->epoll.outer, EPOLL_CTL_ADD, m->epoll.fd, &ev) < 0
               ? -errno
               : 0;
}

static int monitor_fileno(struct fdmon *m)
{
    int ret;

    if (m->epoll.outer < 0) {
        m->epoll.outer = epoll_create1(EPOLL_CLOEXEC);
        if (m->epoll.outer < 0) {
            return -errno;
        }
        ret = watch_inner(m);
        if (ret < 0) {
            close(m->epoll.outer);
            m->epoll.outer = -1;
            return ret;
        }
    }
    return m->epoll.outer;
}

static int ctl(struct fdmon *m, int op, int fd, uint32_t gen, uint32_t events)
{
    struct epoll_event ev = {
        .events = (events & FDMON_READ ? (uint32_t)EPOLLIN : 0) |
                  (events & FDMON_WRITE ? (uint32_t)EPOLLOUT : 0),
        .data.u64 = (uint64_t)gen << 32 | (uint32_t)fd,
    };

    return epoll_ctl(m->epoll.fd, op, fd, &ev) < 0 ? -errno : 0;
}

static int monitor_add(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret = ctl(m, EPOLL_CTL_ADD, fd, gen, events);

    /* It was forgotten while it was closed, and is the same open file again. */
    return ret == -EEXIST ? ctl(m, EPOLL_CTL_MOD, fd, gen, events) : ret;
}

static int monitor_check(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    return ctl(m, EPOLL_CTL_MOD, fd, gen, events);
}

static int monitor_set(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret;

    if (!events) {
        return ctl(m, EPOLL_CTL_DEL, fd, gen, events);
    }
    ret = ctl(m, EPOLL_CTL_MOD, fd, gen, events);
    /* The number stands for another open file than the one registered. */
    return ret == -ENOENT ? ctl(m, EPOLL_CTL_ADD, fd, gen, events) : ret;
}

static int monitor_replace(struct fdmon *m, struct fdmon *by)
{
    int ret;

    by->epoll.outer = m->epoll.outer;
    ret = by->epoll.outer < 0 ? 0 : watch_inner(by);
    if (ret < 0) {
        by->epoll.outer = -1;
        return ret;
    }
    for (int i = 0; m->haunted && m->epoll.outer >= 0 && i < m->n_own; i++) {
        epoll_ctl(m->epoll.outer, EPOLL_CTL_DEL, m->own[i]->rfd, NULL);
    }
    if (is_ours(m, m->epoll.fd)) {
        close(m->epoll.fd); /* so the outer one forgets it */
    }
    by->epoll.no_pwait2 = m->epoll.no_pwait2;
    *m = *by;
    return 0;
}

static void monitor_haunt(struct fdmon *m)
{
    struct epoll_event ev = {.events = EPOLLIN};

    if (!m->haunted && m->epoll.outer >= 0) {
        /* Where this fails the foreign loop looks after FDMON_HAUNTED_NS. */
        epoll_ctl(m->epoll.outer, EPOLL_CTL_DEL, m->epoll.fd, NULL);
        for (int i = 0; i < m->n_own; i++) {
            epoll_ctl(m->epoll.outer, EPOLL_CTL_ADD, m->own[i]->rfd, &ev);
        }
    }
    m->haunted = true;
}

/* For what epoll must not be waited for: it would report the closed fd. */
static void wait_for_own(struct fdmon *m, int64_t timeout_ns)
{
    struct pollfd fds[FDMON_OWN];

    for (int i = 0; i < m->n_own; i++) {
        fds[i] = (struct pollfd){.fd = m->own[i]->rfd, .events = POLLIN};
    }

    timeout_ns = soonest_timeout_ns(timeout_ns, FDMON_HAUNTED_NS);
    if (fdmon_poll_ns(fds, m->n_own, timeout_ns) < 0 && errno == EINVAL) {
        /* Not even so few fds are allowed any more. */
        struct timespec ts = timespec_from_ns(timeout_ns);

        nanosleep(&ts, NULL);
    }
}

/* epoll_pwait2() is dearer, by 0.15 us: only for a wait of some length. */
static int wait_ns(struct fdmon *m, struct epoll_event *events,
                   int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    if (timeout_ns > 0 && !m->epoll.no_pwait2) {
        struct timespec ts = timespec_from_ns(timeout_ns);
        /* The raw call: glibc's wrapper is younger than the kernel's. */
        long n = syscall(SYS_epoll_pwait2, m->epoll.fd, events, FDMON_BATCH,
                         &ts, NULL, 0);

        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return (int)n;
        }
        m->epoll.no_pwait2 = true;
    }
#endif
    return epoll_wait(m->epoll.fd, events, FDMON_BATCH, fdmon_ms(timeout_ns));
}

static int monitor_wait(struct fdmon *m, int64_t timeout_ns,
                        struct fdmon_event out[FDMON_BATCH])
{
    struct epoll_event events[FDMON_BATCH];
    int n;

    if (m->haunted && timeout_ns != 0) {
        wait_for_own(m, timeout_ns);
        timeout_ns = 0;
    }
    n = wait_ns(m, events, timeout_ns);
    if (n < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    for (int i = 0; i < n; i++) {
        uint32_t ev = events[i].events;

        out[i].fd = (int)(uint32_t)events[i].data.u64;
        out[i].gen = (uint32_t)(events[i].data.u64 >> 32);
        out[i].events = (ev & EPOLLIN ? FDMON_READ : 0) |
                        (ev & EPOLLOUT ? FDMON_WRITE : 0) |
                        (ev & (EPOLLERR | EPOLLHUP) ? FDMON_ERROR : 0);
    }
    return n;
}

const struct fdmon_ops fdmon_epoll_ops = {
    .init = monitor_init,
    .cleanup = monitor_cleanup,
    .fileno = monitor_fileno,
    .add = monitor_add,
    .set = monitor_set,
    .check = monitor_check,
    .replace = monitor_replace,
    .haunt = monitor_haunt,
    .wait = monitor_wait,
};
#endif
