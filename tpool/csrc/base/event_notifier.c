/* SPDX-License-Identifier: MIT
 *
 * See event_notifier.h.  -DTPOOL_NO_EVENTFD builds the pipe on Linux too.
 */
#include "base/event_notifier.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__) && !defined(TPOOL_NO_EVENTFD)
#include <sys/eventfd.h>
#define HAVE_EVENTFD 1
#endif

/* What fd stands for, into *dev and *ino. */
static bool identify(int fd, uint64_t *dev, uint64_t *ino)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        return false;
    }
    *dev = (uint64_t)st.st_dev;
    *ino = (uint64_t)st.st_ino;
    return true;
}

bool event_notifier_is_ours(const struct event_notifier *e, int fd)
{
    uint64_t dev, ino;

    return identify(fd, &dev, &ino) && dev == e->dev && ino == e->ino;
}

/* Both ends of a pipe are one file.  Returns 0 or -errno. */
static int opened(struct event_notifier *e, int rfd, int wfd)
{
    if (!identify(rfd, &e->dev, &e->ino)) {
        return -errno; /* does not happen */
    }
    e->rfd = rfd;
    e->wfd = wfd;
    return 0;
}

int event_notifier_init_fd(struct event_notifier *e, int fd)
{
    return opened(e, fd, fd);
}

int event_notifier_init_pipe(struct event_notifier *e)
{
    int fds[2];

    e->rfd = e->wfd = -1;
#ifdef __linux__
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }
#else
    if (pipe(fds) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
    }
#endif
    return opened(e, fds[0], fds[1]);
}

static int open_fds(struct event_notifier *e)
{
#ifdef HAVE_EVENTFD
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    e->rfd = e->wfd = -1;
    return fd < 0 ? -errno : opened(e, fd, fd);
#else
    return event_notifier_init_pipe(e);
#endif
}

int event_notifier_init(struct event_notifier *e, bool active)
{
    int ret = open_fds(e);

    if (ret == 0 && active) {
        ret = event_notifier_set(e);
        if (ret < 0) {
            event_notifier_cleanup(e);
        }
    }
    return ret;
}

void event_notifier_cleanup(struct event_notifier *e)
{
    int rfd = e->rfd, wfd = e->wfd;

    if (wfd != rfd && event_notifier_is_ours(e, wfd)) {
        close(wfd);
    }
    if (event_notifier_is_ours(e, rfd)) {
        close(rfd);
    }
    e->rfd = e->wfd = -1;
}

int event_notifier_set(struct event_notifier *e)
{
    static const uint64_t one = 1;
    int saved = errno, ret; /* a signal handler leaves errno as it was */
    ssize_t n;

    if (!event_notifier_is_ours(e, e->wfd)) {
        errno = saved;
        return -EBADF;
    }
    do {
        n = write(e->wfd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    ret = n < 0 && errno != EAGAIN ? -errno : 0;
    errno = saved;
    return ret;
}

bool event_notifier_test_and_clear(struct event_notifier *e)
{
    return event_notifier_is_ours(e, e->rfd) && event_notifier_drain(e);
}

bool event_notifier_drain(struct event_notifier *e)
{
    char buffer[512];
    bool value = false;
    ssize_t n;

    /* An eventfd gives all at once; a pipe until a read comes back short. */
    do {
        n = read(e->rfd, buffer, sizeof(buffer));
        value |= n > 0;
    } while (n == (ssize_t)sizeof(buffer) || (n < 0 && errno == EINTR));
    return value;
}
