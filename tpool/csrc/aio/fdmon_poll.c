/* SPDX-License-Identifier: MIT
 *
 * The fd monitor by poll(2), which every system has: see fdmon.h.
 */
#include "aio/fdmon.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

int fdmon_poll_ns(struct pollfd *fds, int used, int64_t timeout_ns)
{
#ifdef __linux__
    struct timespec ts = timespec_from_ns(timeout_ns);

    return ppoll(fds, (nfds_t)used, timeout_ns < 0 ? NULL : &ts, NULL);
#else
    return poll(fds, (nfds_t)used, fdmon_ms(timeout_ns));
#endif
}

static int poll_init(struct fdmon *m)
{
    return -pthread_mutex_init(&m->poll.lock, NULL);
}

static void poll_cleanup(struct fdmon *m)
{
    free(m->poll.fds);
    free(m->poll.gens);
    pthread_mutex_destroy(&m->poll.lock);
    memset(&m->poll, 0, sizeof(m->poll));
}

static int find(const struct fdmon *m, int fd)
{
    for (int i = 0; i < m->poll.used; i++) {
        if (m->poll.fds[i].fd == fd) {
            return i;
        }
    }
    return -1;
}

static int make_room(struct fdmon *m)
{
    int size = m->poll.size ? 2 * m->poll.size : 16;
    struct pollfd *fds = realloc(m->poll.fds, (size_t)size * sizeof(*fds));
    uint32_t *gens;

    if (!fds) {
        return -ENOMEM;
    }
    m->poll.fds = fds;
    gens = realloc(m->poll.gens, (size_t)size * sizeof(*gens));
    if (!gens) {
        return -ENOMEM;
    }
    m->poll.gens = gens;
    m->poll.size = size;
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
        m->poll.used--;
        m->poll.fds[i] = m->poll.fds[m->poll.used];
        m->poll.gens[i] = m->poll.gens[m->poll.used];
        return 0;
    }
    if (poll(&probe, 1, 0) > 0 && (probe.revents & POLLNVAL)) {
        return -EBADF;
    }
    if (i < 0) {
        if (m->poll.used == m->poll.size && (ret = make_room(m)) < 0) {
            return ret;
        }
        i = m->poll.used++;
    }
    m->poll.fds[i] = (struct pollfd){
        .fd = fd,
        .events = (short)((events & FDMON_READ ? POLLIN : 0) |
                          (events & FDMON_WRITE ? POLLOUT : 0)),
    };
    m->poll.gens[i] = gen;
    return 0;
}

static int poll_set(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    int ret;

    pthread_mutex_lock(&m->poll.lock);
    ret = set_locked(m, fd, gen, events);
    pthread_mutex_unlock(&m->poll.lock);
    return ret;
}

static int poll_check(struct fdmon *m, int fd, uint32_t gen, uint32_t events)
{
    (void)m, (void)gen, (void)events; /* it would be reported as it is now */
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

static int poll_replace(struct fdmon *m, struct fdmon *by)
{
    pthread_mutex_lock(&m->poll.lock);
    free(m->poll.fds);
    free(m->poll.gens);
    m->poll.fds = by->poll.fds;
    m->poll.gens = by->poll.gens;
    m->poll.used = by->poll.used;
    m->poll.size = by->poll.size;
    pthread_mutex_unlock(&m->poll.lock);
    pthread_mutex_destroy(&by->poll.lock);
    return 0;
}

/* A copy: another thread may register fds while this one sleeps. */
static int copy(struct fdmon *m, struct pollfd **fds, uint32_t **gens)
{
    int used;

    pthread_mutex_lock(&m->poll.lock);
    used = m->poll.used;
    *fds = malloc(((size_t)used + 1) * sizeof(**fds));
    *gens = malloc(((size_t)used + 1) * sizeof(**gens));
    if (!*fds || !*gens) {
        used = -ENOMEM;
    } else if (used) {
        memcpy(*fds, m->poll.fds, (size_t)used * sizeof(**fds));
        memcpy(*gens, m->poll.gens, (size_t)used * sizeof(**gens));
    }
    pthread_mutex_unlock(&m->poll.lock);
    return used;
}

static int poll_wait(struct fdmon *m, int64_t timeout_ns,
                     struct fdmon_event events[FDMON_BATCH])
{
    struct pollfd *fds;
    uint32_t *gens;
    int used = copy(m, &fds, &gens), n = used, stored = 0;

    if (used < 0) {
        goto out;
    }
    n = fdmon_poll_ns(fds, used, timeout_ns);
    if (n < 0) {
        n = errno == EINTR ? 0 : -errno;
    }
    for (int k = 0, first = m->poll.next; k < used; k++) {
        int i = (first + k) % used;
        short ev = fds[i].revents;

        if (ev && stored == FDMON_BATCH) {
            m->poll.next = i;
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

const struct fdmon_ops fdmon_poll_ops = {
    .init = poll_init,
    .cleanup = poll_cleanup,
    .add = poll_set,
    .set = poll_set,
    .check = poll_check,
    .replace = poll_replace,
    .wait = poll_wait,
};
