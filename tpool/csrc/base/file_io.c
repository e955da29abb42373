/* SPDX-License-Identifier: MIT
 *
 * See file_io.h.
 */
#include "base/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

size_t file_io_size(const struct file_io *io)
{
    size_t size = 0;

    for (int i = 0; i < io->n_iov; i++) {
        size += io->iov[i].iov_len;
    }
    return size;
}

void file_io_advance(struct file_io *io, size_t n)
{
    io->offset += (int64_t)n;
    while (io->n_iov && n >= io->iov->iov_len) {
        n -= io->iov->iov_len;
        io->iov++;
        io->n_iov--;
    }
    if (io->n_iov) {
        io->iov->iov_base = (char *)io->iov->iov_base + n;
        io->iov->iov_len -= n;
    }
}

static int data_sync(int fd)
{
#ifdef __APPLE__
    return fsync(fd);
#else
    return fdatasync(fd);
#endif
}

int64_t file_io_call(const struct file_io *io)
{
    int64_t n = -1;

    switch (io->kind) {
    case FILE_READ:
        n = preadv(io->fd, io->iov, io->n_iov, io->offset);
        break;
    case FILE_WRITE:
        n = pwritev(io->fd, io->iov, io->n_iov, io->offset);
        break;
    case FILE_SYNC:
        n = fsync(io->fd);
        break;
    case FILE_DATASYNC:
        n = data_sync(io->fd);
        break;
    }
    return n < 0 ? -errno : n;
}

bool file_io_is_plain(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

bool file_io_is_cached(int fd)
{
#ifdef O_DIRECT
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && !(flags & O_DIRECT);
#else
    (void)fd;
    return true;
#endif
}

bool file_io_is_direct(const struct file_io *io)
{
    struct stat st;
    int64_t size = (int64_t)file_io_size(io);

    if (!io->n_iov || file_io_is_cached(io->fd) || fstat(io->fd, &st) < 0) {
        return false;
    }
    return S_ISBLK(st.st_mode) ||
           (S_ISREG(st.st_mode) &&
            (io->kind == FILE_READ || io->offset <= st.st_size - size));
}

int64_t file_io_read_cached(struct file_io *io, size_t *moved)
{
#ifdef RWF_NOWAIT
    size_t size = file_io_size(io);
    int64_t n;

    /* A short read is the end of the file, or of what is cached: the next one tells. */
    do {
        n = preadv2(io->fd, io->iov, io->n_iov, io->offset, RWF_NOWAIT);
        if (n < 0) {
            return -errno;
        }
        *moved += (size_t)n;
        file_io_advance(io, (size_t)n);
    } while (n > 0 && *moved < size);
    return (int64_t)*moved;
#else
    (void)io, (void)moved;
    return -EAGAIN; /* nobody tells */
#endif
}
