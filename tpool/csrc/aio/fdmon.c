/* SPDX-License-Identifier: MIT
 *
 * See fdmon.h.  -DTPOOL_NO_EPOLL builds the poll(2) half on Linux too.
 */
#include "aio/fdmon.h"

#include <poll.h>
#include <string.h>

bool fdmon_reported(const struct fdmon_event *events, int n, int fd)
{
    for (int i = 0; i < n; i++) {
        if (events[i].fd == fd) {
            return true;
        }
    }
    return false;
}

int fdmon_add_own(struct fdmon *m, const struct event_notifier *e)
{
    int ret = fdmon_add(m, e->rfd, 0, FDMON_READ);

    if (ret == 0) {
        assert(m->n_own < 2);
        m->own[m->n_own++] = e;
    }
    return ret;
}

bool fdmon_is_gone(const struct fdmon *m)
{
    return m->n_own && !event_notifier_is_ours(m->own[0], m->own[0]->rfd);
}

static int poll_ns(struct pollfd *fds, int used, int64_t timeout_ns)
{
#ifdef __linux__
    struct timespec ts = timespec_from_ns(timeout_ns);

    return ppoll(fds, (nfds_t)used, timeout_ns < 0 ? NULL : &ts, NULL);
#else
    int64_t ms = timeout_ns < 0
                     ? -1
                     : timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);

    return poll(fds, (nfds_t)used, ms > INT32_MAX ? INT32_MAX : (int)ms);
#endif
}

#ifdef FDMON_EPOLL
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdmon_init(struct fdmon *m)
{
    memset(m, 0, sizeof(*m));
    m->outer = -1;
    m->epfd = epoll_create1(EPOLL_CLOEXEC);
    return m->epfd < 0 ? -errno : 0;
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
    return m->outer >= 0 && ((is_ours(m, m->epfd) && has(m->outer, m->epfd)) ||
                             (m->haunted && is_ours(m, m->outer)));
}

void fdmon_cleanup(struct fdmon *m)
{
    bool outer = outer_is_ours(m), inner = is_ours(m, m->epfd);

    if (outer) {
        close(m->outer);
    }
    if (inner) {
        close(m->epfd);
    }
    m->epfd = m->outer = -1;
}

static int watch_inner(struct fdmon *m)
{
    struct epoll_event ev = {.events = EPOLLIN};

    return epoll_ctl(m->outer, EPOLL_CTL_ADD, m->epfd, &ev) < 0 ? -errno : 0;
}

int fdmon_fileno(struct fdmon *m)
{
    int ret;

    if (m->outer < 0) {
        m->outer = epoll_create1(EPOLL_CLOEXEC);
        if (m->outer < 0) {
            return -errno;
        }
        ret = watch_inner(m);
        if (ret < 0) {
            close(m->outer);
            m->outer = -1;
            return ret;
        }
    }
    return m->outer;
}

static int ctl(struct fdmon *m, int op, int fd, uint32_t gen, uint32_t events)
{
    struct epoll_event ev = {
        .events = (events & FDMON_READ ? (uint32_t)EPOLLIN : 0) |
                  (events & FDMON_WRITE ? (uint32_t)EPOLLOUT : 0),
        .data.u64 = (uint64_t)gen << 32 | (uint32_t)fd,
    };

    return epoll_ctl(m->epfd, op, fd, &ev) < 0 ? -errno : 0;
}

int fdmon_add(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret = ctl(m, EPOLL_CTL_ADD, fd, gen, events);

    /* It was forgotten while it was closed, and is the same open file again. */
    return ret == -EEXIST ? ctl(m, EPOLL_CTL_MOD, fd, gen, events) : ret;
}

int fdmon_check(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    return ctl(m, EPOLL_CTL_MOD, fd, gen, events);
}

int fdmon_set(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret;

    if (!events) {
        return ctl(m, EPOLL_CTL_DEL, fd, gen, events);
    }
    ret = ctl(m, EPOLL_CTL_MOD, fd, gen, events);
    /* The number stands for another open file than the one registered. */
    return ret == -ENOENT ? ctl(m, EPOLL_CTL_ADD, fd, gen, events) : ret;
}

int fdmon_replace(struct fdmon *m, struct fdmon *by)
{
    int ret;

    by->outer = m->outer;
    ret = by->outer < 0 ? 0 : watch_inner(by);
    if (ret < 0) {
        by->outer = -1;
        return ret;
    }
    for (int i = 0; m->haunted && m->outer >= 0 && i < m->n_own; i++) {
        epoll_ctl(m->outer, EPOLL_CTL_DEL, m->own[i]->rfd, NULL);
    }
    if (is_ours(m, m->epfd)) {
        close(m->epfd); /* so the outer one forgets it */
    }
    by->no_pwait2 = m->no_pwait2;
    *m = *by;
    return 0;
}

void fdmon_haunt(struct fdmon *m)
{
    struct epoll_event ev = {.events = EPOLLIN};

    if (!m->haunted && m->outer >= 0) {
        /* Where this fails the foreign loop looks after FDMON_HAUNTED_NS. */
        epoll_ctl(m->outer, EPOLL_CTL_DEL, m->epfd, NULL);
        for (int i = 0; i < m->n_own; i++) {
            epoll_ctl(m->outer, EPOLL_CTL_ADD, m->own[i]->rfd, &ev);
        }
    }
    m->haunted = true;
}

/* For what epoll must not be waited for: it would report the closed fd. */
static void wait_for_own(struct fdmon *m, int64_t timeout_ns)
{
    struct pollfd fds[2];

    for (int i = 0; i < m->n_own; i++) {
        fds[i] = (struct pollfd){.fd = m->own[i]->rfd, .events = POLLIN};
    }

    timeout_ns = soonest_timeout_ns(timeout_ns, FDMON_HAUNTED_NS);
    if (poll_ns(fds, m->n_own, timeout_ns) < 0 && errno == EINVAL) {
        /* Not even two fds are allowed any more. */
        struct timespec ts = timespec_from_ns(timeout_ns);

        nanosleep(&ts, NULL);
    }
}

/* epoll_pwait2() is dearer, by 0.15 us: only for a wait of some length. */
static int wait_ns(struct fdmon *m, struct epoll_event *events,
                   int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    if (timeout_ns > 0 && !m->no_pwait2) {
        struct timespec ts = timespec_from_ns(timeout_ns);
        /* The raw call: glibc's wrapper is younger than the kernel's. */
        long n = syscall(SYS_epoll_pwait2, m->epfd, events, FDMON_BATCH, &ts,
                         NULL, 0);

        if (n >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return (int)n;
        }
        m->no_pwait2 = true;
    }
#endif
    int64_t ms = timeout_ns < 0
                     ? -1
                     : timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);

    return epoll_wait(m->epfd, events, FDMON_BATCH,
                      ms > INT32_MAX ? INT32_MAX : (int)ms);
}

int fdmon_wait(struct fdmon *m, int64_t timeout_ns,
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

#else /* poll(2) */
#include <fcntl.h>
#include <stdlib.h>

int fdmon_init(struct fdmon *m)
{
    memset(m, 0, sizeof(*m));
    return -pthread_mutex_init(&m->lock, NULL);
}

void fdmon_cleanup(struct fdmon *m)
{
    free(m->fds);
    free(m->gens);
    pthread_mutex_destroy(&m->lock);
    memset(m, 0, sizeof(*m));
}

int fdmon_fileno(struct fdmon *m)
{
    (void)m;
    return -ENOSYS;
}

static int find(const struct fdmon *m, int fd)
{
    for (int i = 0; i < m->used; i++) {
        if (m->fds[i].fd == fd) {
            return i;
        }
    }
    return -1;
}

static int make_room(struct fdmon *m)
{
    int size = m->size ? 2 * m->size : 16;
    struct pollfd *fds = realloc(m->fds, (size_t)size * sizeof(*fds));
    uint32_t *gens;

    if (!fds) {
        return -ENOMEM;
    }
    m->fds = fds;
    gens = realloc(m->gens, (size_t)size * sizeof(*gens));
    if (!gens) {
        return -ENOMEM;
    }
    m->gens = gens;
    m->size = size;
    return 0;
}

static int set_locked(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    struct pollfd probe = {.fd = fd};
    int i = find(m, fd), ret;

    if (!events) {
        if (i < 0) {
            return -ENOENT;
        }
        m->used--;
        m->fds[i] = m->fds[m->used];
        m->gens[i] = m->gens[m->used];
        return 0;
    }
    if (poll(&probe, 1, 0) > 0 && (probe.revents & POLLNVAL)) {
        return -EBADF;
    }
    if (i < 0) {
        if (m->used == m->size && (ret = make_room(m)) < 0) {
            return ret;
        }
        i = m->used++;
    }
    m->fds[i].fd = fd;
    m->fds[i].events = (short)((events & FDMON_READ ? POLLIN : 0) |
                               (events & FDMON_WRITE ? POLLOUT : 0));
    m->gens[i] = gen;
    return 0;
}

int fdmon_set(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret;

    pthread_mutex_lock(&m->lock);
    ret = set_locked(m, fd, gen, events);
    pthread_mutex_unlock(&m->lock);
    return ret;
}

int fdmon_add(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    return fdmon_set(m, fd, gen, events);
}

int fdmon_check(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    (void)m, (void)gen, (void)events; /* it would be reported as it is now */
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

int fdmon_replace(struct fdmon *m, struct fdmon *by)
{
    pthread_mutex_lock(&m->lock);
    free(m->fds);
    free(m->gens);
    m->fds = by->fds;
    m->gens = by->gens;
    m->used = by->used;
    m->size = by->size;
    pthread_mutex_unlock(&m->lock);
    pthread_mutex_destroy(&by->lock);
    return 0;
}

void fdmon_haunt(struct fdmon *m)
{
    (void)m; /* poll(2) reports what it is asked for */
}

/* A copy: another thread may register fds while this one sleeps. */
static int copy(struct fdmon *m, struct pollfd **fds, uint32_t **gens)
{
    int used;

    pthread_mutex_lock(&m->lock);
    used = m->used;
    *fds = malloc(((size_t)used + 1) * sizeof(**fds));
    *gens = malloc(((size_t)used + 1) * sizeof(**gens));
    if (!*fds || !*gens) {
        used = -ENOMEM;
    } else if (used) {
        memcpy(*fds, m->fds, (size_t)used * sizeof(**fds));
        memcpy(*gens, m->gens, (size_t)used * sizeof(**gens));
    }
    pthread_mutex_unlock(&m->lock);
    return used;
}

int fdmon_wait(struct fdmon *m, int64_t timeout_ns,
               struct fdmon_event events[FDMON_BATCH])
{
    struct pollfd *fds;
    uint32_t *gens;
    int used = copy(m, &fds, &gens), n = used, stored = 0;

    if (used < 0) {
        goto out;
    }
    n = poll_ns(fds, used, timeout_ns);
    if (n < 0) {
        n = errno == EINTR ? 0 : -errno;
    }
    for (int k = 0, first = m->next; k < used; k++) {
        int i = (first + k) % used;
        short ev = fds[i].revents;

        if (ev && stored == FDMON_BATCH) {
            m->next = i;
            break;
        }
        if (ev) {
            events[stored++] = (struct fdmon_event){
                .fd = fds[i].fd,
                .gen = gens[i],
                .events = (ev & POLLIN ? FDMON_READ : 0) |
                          (ev & POLLOUT ? FDMON_WRITE : 0) |
                          (ev & (POLLERR | POLLHUP) ? FDMON_ERROR : 0) |
                          (ev & POLLNVAL ? FDMON_INVALID : 0),
            };
        }
    }
out:
    free(fds);
    free(gens);
    return n < 0 ? n : stored;
}
#endif
