# SPDX-License-Identifier: MIT
"""Faults of what reads and writes files, by the program that must see them."""

from __future__ import annotations

from planted import Mutant

MUTANTS = {
    "stress_io_queue": (
        Mutant(
            "what the ring has had no room for is not asked for",
            "base/uring.c",
            "enter(q, 0, 0, IORING_ENTER_GETEVENTS);",
            "",
            ("unit",),
        ),
        Mutant(
            "a vector of which nothing is left is moved again",
            "base/file_io.c",
            "n >= io->iov->iov_len",
            "n > io->iov->iov_len",
            ("unit",),
        ),
        Mutant(
            "the offset stays where it was",
            "base/uring.c",
            "sqe->off = (uint64_t)io->offset;",
            "sqe->off = 0;",
            ("unit",),
        ),
        Mutant(
            "the bell rings on",
            "base/linux_aio.c",
            "q->unheard++;",
            "",
            ("unit",),
        ),
        Mutant(
            "what the kernel has not taken is handed over twice",
            "base/linux_aio.c",
            "memmove(iocb_at(q, 0), iocb_at(q, n),",
            "memmove(iocb_at(q, 0), iocb_at(q, 0),",
            ("unit",),
        ),
    ),
    "stress_io_threads": (
        Mutant(
            "what threads of files do is taken for calls",
            "source/io_threads.c",
            "t->queue.bounded = false;",
            "",
            ("unit",),
        ),
        Mutant(
            "who waits for the last is not told of it",
            "source/io_threads.c",
            "futex_wake(&t->bed, &t->unfinished);",
            "",
            ("unit",),
        ),
        Mutant(
            "what was cancelled is waited for",
            "source/io_threads.c",
            "if (cancelled) {",
            "if (false) {",
            ("unit",),
        ),
        Mutant(
            "what no thread can be had for stays in the queue",
            "source/io_threads.c",
            "request_queue_cancel_deserted(&t->queue) == w",
            "false",
            ("unit",),
        ),
        Mutant(
            "one thread is waited for, of those that are there",
            "source/io_threads.c",
            "while ((thread = take(t))) {",
            "if ((thread = take(t))) {",
            ("unit",),
        ),
        Mutant(
            "a signal ends no wait",
            "source/io_threads.c",
            "while (ret == 0 && (n",
            "while (ret <= 0 && (n",
            ("unit",),
        ),
    ),
}
