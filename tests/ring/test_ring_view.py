# SPDX-License-Identifier: MIT
"""A message is looked at where it lies in a Ring."""

from __future__ import annotations

import gc
import os

import pytest
from conftest import run_code, task_state, wait_until

import tpool

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pair():
    """Return two, each one side of the same ring."""
    with tpool.Ring.create(size=1024) as writer:
        with tpool.Ring.attach(writer.memory_fd) as reader:
            yield writer, reader


def test_it_is_the_message_and_cannot_be_written(pair):
    writer, reader = pair
    for number in range(200):
        writer.send(b"%d" % number * 50)
        with reader.recv_view() as view:
            assert view == b"%d" % number * 50
            assert view.readonly
            with pytest.raises(TypeError):
                view[0] = 0


def test_until_it_is_released_no_other_is_given_and_its_room_is_not_used(pair):
    writer, reader = pair
    sent = 0
    while writer.try_send(b"x" * 100):
        sent += 1
    view = reader.recv_view(timeout=1)
    for call in (reader.recv, reader.try_recv, reader.recv_view):
        with pytest.raises(BufferError):
            call()
    assert not writer.try_send(b"x" * 100)
    part = view[10:20]
    with pytest.raises(BufferError):
        reader._map.close()
    view.release()
    assert not writer.try_send(b"x" * 100)  # a part of it is looked at
    part.release()
    assert writer.try_send(b"x" * 100)
    assert sum(1 for _ in iter(reader.try_recv, None)) == sent


def test_one_that_is_dropped_is_released(pair):
    writer, reader = pair
    writer.send(b"1")
    writer.send(b"2")
    reader.recv_view()
    gc.collect()
    assert reader.recv() == b"2"
    writer.send(b"3")
    again = memoryview(reader.recv_view().obj)
    assert again == b"3"
    with pytest.raises(BufferError):
        reader.recv()
    del again
    assert reader.try_recv() is None


def test_nobody_finds_one_that_has_no_message_yet(pair, background):
    writer, reader = pair
    waits = background(lambda: bytes(reader.recv_view()))
    wait_until(lambda: reader.sleeps or task_state(waits.native_id) == "S")
    found = [o for o in gc.get_objects() if type(o).__name__ == "RingView"]
    writer.send(b"1")
    assert not found  # what it would show is any memory
    assert waits.finish() == b"1"


def test_it_outlives_the_ring(pair):
    writer, reader = pair
    writer.send(b"x" * 400)
    view = reader.recv_view()
    fds = len(os.listdir("/proc/self/fd"))
    reader.close()
    assert len(os.listdir("/proc/self/fd")) < fds
    assert view == b"x" * 400
    with pytest.raises(BrokenPipeError):
        writer.send(b"")
    view.release()
    with pytest.raises(RuntimeError, match="closed"):
        reader.recv_view()


def test_none_in_time_and_the_end_are_said_as_recv_says_them(pair):
    writer, reader = pair
    with pytest.raises(TimeoutError, match="empty"):
        reader.recv_view(0)
    with pytest.raises(ValueError, match="timeout"):
        reader.recv_view(timeout=-1)
    writer.send(b"")
    with reader.recv_view() as view:
        assert len(view) == 0
    writer.close()
    with pytest.raises(EOFError):
        reader.recv_view()


def test_what_a_child_of_a_fork_releases_is_not_its_own():
    code = """if True:
        import os, tpool
        ring = tpool.Ring.create(readers=2)
        for number in range(3):
            ring.send(b"%d" % number)
        view = ring.recv_view()
        pid = os.fork()
        if not pid:
            mine = ring.recv_view()
            assert mine == b"0"
            view.release()
            assert mine == b"0"
            try:
                ring.recv()
            except BufferError:
                mine.release()
            os._exit(ring.recv() != b"1")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        view.release()
        print(ring.recv().decode())
    """
    assert run_code(code).stdout == "1\n"
