/* SPDX-License-Identifier: MIT
 *
 * What is asked of a file: one read, write or sync at a given place, and the system
 * call that does it.  Data: whoever embeds it.
 */
#ifndef TPOOL_BASE_FILE_IO_H
#define TPOOL_BASE_FILE_IO_H

#include "base/osdep.h"

#include <sys/uio.h>

/* The kernel moves no more in one call; bytes. */
#define FILE_IO_MAX 0x7ffff000

enum file_io_kind {
    FILE_READ,
    FILE_WRITE,
    FILE_SYNC,
    FILE_DATASYNC,
};

struct file_io {
    enum file_io_kind kind;
    int fd;
    int n_iov; /* 0: a sync */
    struct iovec *iov;
    int64_t offset; /* not negative */
};

/* Bytes asked for. */
size_t file_io_size(const struct file_io *io);

/* The first n bytes have been moved: what is left to be asked for. */
void file_io_advance(struct file_io *io, size_t n);

/* Any thread; blocks.  Bytes moved, 0 for a sync, or -errno. */
int64_t file_io_call(const struct file_io *io);

/* Any thread.  Whether it is a file that has places to read and write: no pipe, say. */
bool file_io_is_plain(int fd);

/*
 * Any thread.  Whether what is read from fd may be in the page cache: with O_DIRECT
 * nothing is, and the next function would wait for the device.
 */
bool file_io_is_cached(int fd);

/*
 * Any thread.  Whether the kernel does it by the device alone: a read of what is opened
 * with O_DIRECT, or a write into what is there already.  (Where that makes the file longer
 * who submits it would wait.)
 */
bool file_io_is_direct(const struct file_io *io);

/*
 * Any thread.  Reads what needs no device: all that was asked for, or less where the
 * file ends before.  -EAGAIN: it would have to wait; io is what is left, and *moved
 * tells how much of it has come.  Another -errno: ask in earnest.
 */
int64_t file_io_read_cached(struct file_io *io, size_t *moved);

#endif
