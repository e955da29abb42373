/* SPDX-License-Identifier: MIT
 *
 * See fd_union.h.
 */
#include "shm/fd_union.h"
#include "base/clock.h"

#ifdef __linux__
#include <poll.h>
#include <sys/epoll.h>

int fd_union_open(void)
{
    int all = epoll_create1(EPOLL_CLOEXEC);

    return all < 0 ? -errno : all;
}

int fd_union_add(int all, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(all, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void fd_union_remove(int all, int fd)
{
    /* An error says that it is not there, which is what was wanted. */
    (void)!epoll_ctl(all, EPOLL_CTL_DEL, fd, NULL);
}

/* poll() of it counts in nanoseconds on each kernel, epoll_wait() in milliseconds. */
int fd_union_wait(int all, int64_t timeout_ns)
{
    struct pollfd p = {.fd = all, .events = POLLIN};
    struct timespec ts = timespec_from_ns(timeout_ns);
    int ret = ppoll(&p, 1, timeout_ns < 0 ? NULL : &ts, NULL);

    if (ret == 1 && p.revents & POLLNVAL) {
        return -EBADF; /* it was closed behind our back */
    }
    return ret < 0 ? -errno : ret;
}

#else

int fd_union_open(void)
{
    return -ENOSYS;
}

int fd_union_add(int all, int fd)
{
    (void)all;
    (void)fd;
    return -ENOSYS;
}

void fd_union_remove(int all, int fd)
{
    (void)all;
    (void)fd;
}

int fd_union_wait(int all, int64_t timeout_ns)
{
    (void)all;
    (void)timeout_ns;
    return -ENOSYS;
}
#endif
