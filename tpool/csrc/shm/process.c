/* SPDX-License-Identifier: MIT
 *
 * See process.h.  The id: the number in the low half, the low half of the time of its
 * start in the high one.
 */
#include "shm/process.h"

#ifdef __linux__
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* of every architecture */
#endif

/* /proc/PID/stat: the fields after the name, which ends at the last bracket. */
#define FIELDS_TO_START 20

/* When it was started, in ticks since the boot.  Returns 0 or -errno. */
static int read_start(uint32_t pid, uint32_t *start)
{
    char path[32], text[1024], *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? -ESRCH : -errno;
    }
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n < 0) {
        return -ESRCH; /* it has died meanwhile */
    }
    text[n] = 0;
    at = strrchr(text, ')');
    for (int i = 0; at && i < FIELDS_TO_START; i++) {
        at = strchr(at + 1, ' ');
    }
    if (!at) {
        return -ESRCH;
    }
    *start = (uint32_t)strtoull(at, NULL, 10);
    return 0;
}

static uint64_t make_id(uint32_t pid, uint32_t start)
{
    return (uint64_t)start << 32 | pid;
}

int process_self(uint64_t *id)
{
    uint32_t pid = (uint32_t)getpid(), start;
    int ret = read_start(pid, &start);

    if (ret == 0) {
        *id = make_id(pid, start);
    }
    return ret;
}

int process_open(uint64_t id)
{
    uint32_t pid = (uint32_t)id, start;
    int fd, ret;

    if (pid == 0 || pid > INT32_MAX) {
        return -ESRCH;
    }
    fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd < 0) {
        /* EINVAL, or, on newer kernels, ENOENT: a thread, not a process. */
        return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
    }
    /* After it is open: now the number stands for what the fd does, or for nothing. */
    ret = read_start(pid, &start);
    if (ret == 0 && make_id(pid, start) != id) {
        ret = -ESRCH;
    } else if (ret == -ESRCH && !process_is_dead(fd)) {
        ret = 0; /* it lives, and /proc does not show it to us */
    }
    if (ret < 0) {
        close(fd);
        return ret;
    }
    return fd;
}

bool process_is_dead(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

#else

int process_self(uint64_t *id)
{
    (void)id;
    return -ENOSYS;
}

int process_open(uint64_t id)
{
    (void)id;
    return -ENOSYS;
}

bool process_is_dead(int fd)
{
    (void)fd;
    return false;
}
#endif
