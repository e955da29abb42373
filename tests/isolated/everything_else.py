# SPDX-License-Identifier: MIT
"""More deeds of everything_at_once.py: notifiers, files, executors, queues and rings."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import tempfile

from everything import NOT_NOW, Knot, raises, shared

import tpool

SIZE = 100_000


class Rest:
    """What an actor does besides, with a context of its own: self.ctx."""

    def begin_rest(self):
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.file.write(bytes(SIZE))
        self.file.flush()
        self.files = None

    def end_rest(self):
        self.file.close()

    # Notifiers

    def new_notifier(self):
        note = tpool.EventNotifier(active=self.random.random() < 0.5)
        self.any(shared.contexts).set_event_notifier(note, note.test_and_clear)
        shared.notifiers.append(note)

    def use_notifier(self):
        note = self.any(shared.notifiers)
        for _ in range(self.random.randrange(3)):
            note.set()
        if self.random.random() < 0.2:
            note.test_and_clear()

    def end_notifier(self):
        note = self.any(shared.notifiers)
        for ctx in list(shared.contexts):
            with contextlib.suppress(*NOT_NOW):
                ctx.set_event_notifier(note)

    # Files: those of the context are used by its owner

    def new_files(self):
        backend = self.random.choice(["threads", "linux-aio", "io_uring", None])
        pending = self.random.choice([None, 5])
        self.files = tpool.AioFiles(self.ctx, 4, backend, max_pending=pending)

    def move(self):
        """Into a buffer of its own, or from one: no thread looks at it meanwhile."""
        if self.files is None or self.files.ctx is not self.ctx:
            self.new_files()
        at, size = self.random.randrange(SIZE), self.random.randrange(1, 30_000)
        if self.random.random() < 0.5:
            request = self.files.pwrite(self.file, bytes(size), at)
        else:
            request = self.files.pread(self.file, size, at)
        if self.random.random() < 0.2:
            request.add_done_callback(self.random.choice([Knot(self.files), raises]))
        if self.random.random() < 0.2:
            request.cancel()
        shared.requests.append(request)

    def sync(self):
        if self.files is not None:
            shared.requests.append(self.files.fdatasync(self.file))

    def end_files(self):
        if self.files is not None:
            self.files._close() if self.random.random() < 0.5 else self.files.close()
            self.files = None

    # Executors

    def new_executor(self):
        shared.executors.append(
            tpool.ThreadPoolExecutor(
                self.random.randrange(1, 4),
                initializer=self.random.choice([None, int]),
                poll_max_ns=self.random.choice([0, 32_768]),
            )
        )

    def submit_to_an_executor(self):
        executor, (fn, args) = self.any(shared.executors), self.call()
        future = executor.submit(fn, *args)
        if self.random.random() < 0.3:
            future.add_done_callback(self.random.choice([Knot(future), raises]))
        shared.futures.append(future)

    def wait_for_a_future(self):
        with contextlib.suppress(concurrent.futures.TimeoutError):
            self.any(shared.futures).result(0.002)

    def wait_for_some_futures(self):
        concurrent.futures.wait(list(shared.futures)[:4], 0.002)

    def cancel_a_future(self):
        self.any(shared.futures).cancel()

    def end_executor(self):
        executor = self.any(shared.executors)
        executor.shutdown(wait=False, cancel_futures=self.random.random() < 0.5)

    # What passes from thread to thread

    def put(self):
        shared.queue.put(Knot() if self.random.random() < 0.1 else 1)

    def get(self):
        with contextlib.suppress(queue.Empty):
            shared.queue.get(timeout=self.random.choice([0, 0.0002]))

    def pass_by_a_ring(self):
        """To a thread that takes all of it."""
        with (
            tpool.Ring.create(size=4096) as ring,
            tpool.Ring.attach(ring.memory_fd) as reader,
            tpool.ThreadPool() as pool,
        ):
            took = pool.submit(lambda: [reader.recv(5) for _ in range(50)])
            for number in range(50):
                ring.send(bytes(number * 10), 5)
            assert [len(message) for message in took.result()] == [*range(0, 500, 10)]

    def be_told_by_a_word(self):
        """One that nobody else has."""
        word = bytearray(8)
        watch = self.ctx.watch(word, 0, int)
        word[0] = 1
        self.ctx.poll(False)
        watch.close()
