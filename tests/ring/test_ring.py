# SPDX-License-Identifier: MIT
"""A Ring in one process: what is sent arrives, whole and in order, and nobody is woken."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import random
import select
import signal
import threading
import weakref

import pytest
from conftest import run_code, task_state, wait_until

import tpool
from tpool import _core

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def ring():
    with tpool.Ring.create(size=4096) as made:
        yield made


@pytest.fixture
def pair(ring):
    """Return two, each one side of the same ring."""
    with tpool.Ring.attach(ring.memory_fd) as other:
        yield ring, other


def is_readable(ring, writes=False):
    fd = ring._hold(writes)
    try:
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        ring._let_go(writes)


def test_messages_of_all_lengths_arrive_in_order_round_the_end_of_the_data(pair):
    writer, reader = pair
    rng = random.Random(20)
    sent = []
    for number in range(3000):
        length = rng.choice([0, 1, 7, 8, 9, 64, rng.randrange(writer.message_max + 1)])
        message = bytes([number % 256]) * length
        while not writer.try_send(message):
            assert reader.recv() == sent.pop(0)
        sent.append(message)
    assert [reader.recv() for _ in sent] == sent
    assert reader.try_recv() is None


def test_the_longest_message_fits_in_wherever_the_last_one_has_ended(pair):
    writer, reader = pair
    longest = b"l" * writer.message_max
    for length in range(0, 2 * writer.message_max, 8):
        filler = b"f" * (length % writer.message_max)
        assert writer.try_send(filler)
        assert reader.try_recv() == filler
        assert writer.try_send(longest)
        assert reader.try_recv() == longest
    with pytest.raises(ValueError, match=str(writer.message_max)):
        writer.send(longest + b"l")
    writer.send(longest)  # the error has changed nothing
    assert reader.recv() == longest


def test_a_message_is_any_bytes_like_object(pair):
    writer, reader = pair
    for data in (b"b", bytearray(b"b"), memoryview(b"abc")[1:2]):
        writer.send(data)
        assert reader.recv() == b"b"
    for data in ("text", None, 1, memoryview(b"abcd")[::2]):
        with pytest.raises((TypeError, BufferError)):
            writer.send(data)
    assert reader.try_recv() is None


def test_full_and_empty_raise_or_say_so(pair):
    writer, reader = pair
    message = b"x" * 500
    while writer.try_send(message):
        pass
    for timeout in (0, 0.001):
        with pytest.raises(TimeoutError, match="full"):
            writer.send(message, timeout)
        with pytest.raises(TimeoutError, match="full"):
            writer.send(data=message, timeout=timeout)
    while reader.try_recv() is not None:
        pass
    for timeout in (0, 0.001):
        with pytest.raises(TimeoutError, match="empty"):
            reader.recv(timeout)
        with pytest.raises(TimeoutError, match="empty"):
            reader.recv(timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        reader.recv(-1)
    with pytest.raises(TypeError):
        reader.recv("soon")


def test_each_reader_sees_all_and_the_writer_waits_for_the_slowest():
    with tpool.Ring.create(size=1024, readers=3) as writer:
        readers = [tpool.Ring.attach(writer.memory_fd) for _ in range(3)]
        sent = 0
        while writer.try_send(b"%d" % sent):
            sent += 1
        for reader in readers[:2]:
            got = [int(reader.recv()) for _ in range(sent)]
            assert got == list(range(sent))
            assert not writer.try_send(b"")
        assert readers[2].recv() == b"0"
        assert writer.try_send(b"more")
        late = [readers[2].recv() for _ in range(sent)]
        assert late[-1] == b"more"
        with tpool.Ring.attach(writer.memory_fd) as fourth:
            with pytest.raises(OSError, match="readers"):
                fourth.recv()
            with pytest.raises(OSError, match="a writer"):
                fourth.send(b"")
        for reader in readers:
            reader.close()


def test_one_that_has_closed_is_not_waited_for():
    with tpool.Ring.create(size=1024, readers=2) as writer:
        first, second = (tpool.Ring.attach(writer.memory_fd) for _ in range(2))
        while writer.try_send(b"x"):
            assert first.recv() == b"x"
        assert second.recv() == b"x"
        second.close()
        for _ in range(1000):
            writer.send(b"y", 0)
            assert first.recv() == b"y"
        first.close()
        with pytest.raises(BrokenPipeError):
            writer.send(b"z")


def test_nobody_is_woken_who_is_awake(pair):
    writer, reader = pair
    writer.send(b"")
    assert reader.recv() == b""
    before = writer.wakeups + reader.wakeups  # to say that they have come
    for _ in range(10_000):
        assert writer.try_send(b"x" * 64)
        assert reader.try_recv() is not None
        assert reader.try_recv() is None
    assert writer.wakeups + reader.wakeups == before
    assert writer.sleeps + reader.sleeps == 0


def test_who_sleeps_is_woken_once(pair):
    writer, reader = pair
    writer.send(b"")
    reader.recv()
    for _ in range(50):
        assert reader.try_recv() is None
        assert reader._arm(False)
        assert not is_readable(reader)
        before = writer.wakeups
        for _ in range(3):
            writer.send(b"x")
        assert writer.wakeups - before == 1
        assert is_readable(reader)
        assert [reader.recv() for _ in range(3)] == [b"x"] * 3
        assert not reader._arm(False)  # what it is armed for was there before
        reader._disarm(False)


def test_who_waits_for_room_is_woken_when_there_is_enough(pair):
    writer, reader = pair
    assert reader.try_recv() is None  # from now on it is there
    while writer.try_send(b"x" * 100):
        pass
    assert not writer.try_send(b"x" * 400)
    assert writer._arm(True)
    before = reader.wakeups
    for _ in range(3):
        reader.recv()
        assert not is_readable(writer, True)
    while not writer.try_send(b"x" * 400):
        reader.recv()
    assert is_readable(writer, True)
    assert reader.wakeups - before == 1


def test_a_full_ring_is_waited_for_and_the_reader_wakes_the_writer(pair, background):
    writer, reader = pair
    sent = 0
    while writer.try_send(b"%d" % sent):
        sent += 1

    def send_more():
        for number in range(sent, sent + 2000):
            writer.send(b"%d" % number)

    sending = background(send_more)
    assert [int(reader.recv()) for _ in range(sent + 2000)] == [*range(sent + 2000)]
    sending.finish()


def test_threads_share_a_side_and_each_message_arrives_once(pair, background):
    writer, reader = pair
    each, got = 2000, []

    def send(name):
        for number in range(each):
            writer.send(b"%d %d" % (name, number))

    def receive():
        while (message := reader.recv()) != b"end":
            got.append(message)

    receivers = [background(receive) for _ in range(3)]
    senders = [background(send, name) for name in range(3)]
    for sender in senders:
        sender.finish()
    for _ in receivers:
        writer.send(b"end")
    for receiver in receivers:
        receiver.finish()
    assert len(got) == len(set(got)) == 3 * each


def test_close_tells_the_other_side(pair):
    writer, reader = pair
    writer.send(b"last")
    writer.close()
    assert writer.closed
    assert reader.recv() == b"last"
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.recv()
    for call in (writer.recv, writer.try_recv, lambda: writer.send(b"")):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    writer.close()


@pytest.mark.parametrize("side", ["recv", "send"])
def test_close_ends_a_wait_in_another_thread(ring, background, side):
    message = b"x" * ring.message_max

    def use():
        while True:
            ring.recv() if side == "recv" else ring.send(message)

    waiting = background(pytest.raises, RuntimeError, use)
    wait_until(lambda: task_state(waiting.native_id) == "S")
    ring.close()
    waiting.finish()


def test_a_dropped_ring_is_closed(ring):
    other = tpool.Ring.attach(ring.memory_fd)
    other.send(b"x")
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    assert ring.recv() == b"x"
    with pytest.raises(EOFError):
        ring.recv()


def test_a_buffer_of_ones_own_holds_a_ring_and_is_held():
    memory = mmap.mmap(-1, 8192)
    writer = tpool.Ring(memory, readers=1)
    reader = tpool.Ring(memory)
    assert (writer.size, writer.readers, writer.message_max) == (4096, 1, 2040)
    writer.send(b"x")
    assert reader.recv() == b"x"
    with pytest.raises(BufferError):
        memory.close()
    writer.close()
    reader.close()
    memory.close()


def test_wrong_arguments_are_refused():
    memory = mmap.mmap(-1, 4096)
    with pytest.raises(ValueError, match="no Ring"):
        tpool.Ring(memory)
    for readers in (0, 65, -1):
        with pytest.raises((ValueError, OverflowError), match="readers"):
            tpool.Ring(memory, readers)
        with pytest.raises(ValueError, match="readers"):
            tpool.Ring.create(readers=readers)
    with pytest.raises(ValueError, match="no room"):
        tpool.Ring(memory, 64)
    with pytest.raises(ValueError, match="no room"):
        tpool.Ring(memoryview(memory)[8:], 1)
    with pytest.raises(BufferError):
        tpool.Ring(b"x" * 4096, 1)
    with pytest.raises(TypeError):
        tpool.Ring()
    for size in (63, 2**31 + 1, -1):
        with pytest.raises(ValueError, match="size"):
            tpool.Ring.create(size=size)
    with pytest.raises(TypeError):
        _core.Ring(memory, 1).__reduce__()
    memory.close()


def test_ring_of_another_version_is_refused():
    memory = mmap.mmap(-1, 4096)
    tpool.Ring(memory, 1).close()
    memory[4] += 1
    with pytest.raises(ValueError, match="version"):
        tpool.Ring(memory)
    memory.close()


def test_repr_tells_what_it_is(ring):
    assert repr(ring) == "<Ring open size=4096 readers=1>"
    ring.close()
    assert repr(ring) == "<Ring closed size=4096 readers=1>"


def test_other_threads_run_while_one_waits(ring, background):
    waiting = background(ring.recv)
    ran = threading.Event()
    background(ran.set).finish()
    assert ran.is_set()
    ring.send(b"x")
    assert waiting.finish() == b"x"


@pytest.mark.parametrize("wait", ["recv()", "send(b'x')"])
@pytest.mark.parametrize("poll_max_ns", ["0", "1000000000000"])
def test_ctrl_c_ends_a_wait(wait, poll_max_ns):
    code = f"""if True:
        import os, signal, threading, tpool
        ring = tpool.Ring.create(size=64)
        while ring.try_send(b"x"): pass
        if {wait!r} == "recv()":
            while ring.try_recv(): pass
        def interrupt():
            while not done:
                time.sleep(0.05)
                if waits:  # a lock of Python's may not be what is interrupted
                    os.kill(os.getpid(), signal.SIGINT)
        def once(number, frame):
            signal.signal(number, signal.SIG_IGN)
            raise KeyboardInterrupt
        import time
        done = waits = False
        signal.signal(signal.SIGINT, once)
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            waits = True
            ring.{wait}
        except KeyboardInterrupt:
            print("interrupted")
        done = True
        thread.join()
    """
    said = run_code(code, env={"TPOOL_POLL_MAX_NS": poll_max_ns})
    assert said.stdout == "interrupted\n"


def test_a_signal_handler_may_use_the_side_that_waits(ring):
    def handler(number, frame):
        assert ring.try_recv() is None
        ring.send(b"from the handler")
        assert ring.recv() == b"from the handler"
        ring.send(b"for who waits")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert ring.recv() == b"for who waits"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_fds_closed_behind_its_back_end_a_wait():
    code = """if True:
        import os, tpool
        ring = tpool.Ring.create()
        assert ring.try_recv() is None
        os.closerange(3, 100)
        try:
            ring.recv()
        except OSError as error:
            print(error.errno, flush=True)
        os._exit(0)  # what it would close is not its own
    """
    said = run_code(code)
    assert said.stdout == f"{errno.EBADF}\n"


def test_a_process_ends_while_daemon_threads_wait():
    code = """if True:
        import threading, time, tpool
        rings = [tpool.Ring.create() for _ in range(3)]
        for ring in rings:
            threading.Thread(target=ring.recv, daemon=True).start()
        print("end")
    """
    for poll_max_ns in ("0", "1000000000000"):
        said = run_code(code, env={"TPOOL_POLL_MAX_NS": poll_max_ns})
        assert said.stdout == "end\n"


def test_of_threads_that_close_it_one_closes_its_fd(monkeypatch):
    closed, close = [], os.close
    ring = tpool.Ring.create()
    fd = ring.memory_fd

    def close_again(number):
        closed.append(number)
        ring.close()  # as another thread may, while this one is in the system
        close(number)

    monkeypatch.setattr(os, "close", close_again)
    ring.close()
    assert closed == [fd]
    assert ring.memory_fd == -1


def test_a_ring_that_is_dropped_while_it_is_held_lets_go_of_the_memory():
    with mmap.mmap(-1, 4096) as memory:
        ring = tpool.Ring(memory, readers=1)
        ring._hold(False)
        del ring
        gc.collect()
        memory.close()  # BufferError: there is still a view of it
