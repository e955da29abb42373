/* SPDX-License-Identifier: MIT
 *
 * See doorbell.h.
 */
#include "shm/doorbell.h"

#ifdef __linux__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* unix(7): a name of the system's is a null byte and five digits, 0 to 9 and a to f. */
#define DIGITS 5
/* Who rings more often than that in one moment means no good: it stays readable. */
#define DRAIN_MAX 64

static socklen_t name_of(uint32_t number, struct sockaddr_un *name)
{
    char digits[2 * sizeof(number) + 1];

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(digits, sizeof(digits), "%0*x", DIGITS, number);
    memcpy(name->sun_path + 1, digits, DIGITS);
    return offsetof(struct sockaddr_un, sun_path) + 1 + DIGITS;
}

static int learn_number(struct doorbell *bell)
{
    struct sockaddr_un name = {0};
    socklen_t size = sizeof(name);

    if (getsockname(bell->fd, (struct sockaddr *)&name, &size) < 0) {
        return -errno;
    }
    if (size != offsetof(struct sockaddr_un, sun_path) + 1 + DIGITS) {
        return -EADDRNOTAVAIL;
    }
    name.sun_path[1 + DIGITS] = 0;
    /* 0 stands for none: the bit above the digits is set, and not looked at. */
    bell->number = (uint32_t)strtoul(name.sun_path + 1, NULL, 16) |
                   1u << 4 * DIGITS;
    return 0;
}

/* Which socket the fd is: all are of one device.  0: none. */
static uint64_t socket_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? (uint64_t)st.st_ino
                                                       : 0;
}

static bool is_ours(const struct doorbell *bell)
{
    return socket_of(bell->fd) == bell->ino;
}

int doorbell_open(struct doorbell *bell)
{
    struct sockaddr_un none = {.sun_family = AF_UNIX};
    int ret;

    *bell = DOORBELL_NONE;
    bell->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bell->fd < 0) {
        return -errno;
    }
    bell->ino = socket_of(bell->fd);
    ret = bind(bell->fd, (struct sockaddr *)&none, sizeof(none.sun_family)) < 0
              ? -errno
              : learn_number(bell);
    if (ret < 0) {
        doorbell_close(bell);
    }
    return ret;
}

void doorbell_close(struct doorbell *bell)
{
    if (bell->fd >= 0 && is_ours(bell)) {
        close(bell->fd);
    }
    *bell = DOORBELL_NONE;
}

void doorbell_ring(const struct doorbell *mine, uint32_t number)
{
    struct sockaddr_un name;
    socklen_t size = name_of(number & ((1u << 4 * DIGITS) - 1), &name);
    char ring = 0;

    if (!is_ours(mine)) {
        return;
    }
    /*
     * An error says that there is none of that name, or that it has been rung often
     * enough: it is readable.
     */
    (void)!sendto(mine->fd, &ring, 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (struct sockaddr *)&name, size);
}

void doorbell_drain(const struct doorbell *bell)
{
    char ring;

    for (int i = 0; i < DRAIN_MAX && is_ours(bell); i++) {
        if (recv(bell->fd, &ring, 1, MSG_DONTWAIT) < 0) {
            return;
        }
    }
}

#else

int doorbell_open(struct doorbell *bell)
{
    *bell = DOORBELL_NONE;
    return -ENOSYS;
}

void doorbell_close(struct doorbell *bell)
{
    (void)bell;
}

void doorbell_ring(const struct doorbell *mine, uint32_t number)
{
    (void)mine;
    (void)number;
}

void doorbell_drain(const struct doorbell *bell)
{
    (void)bell;
}
#endif
