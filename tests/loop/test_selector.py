# SPDX-License-Identifier: MIT
"""AioSelector: what selectors promises, and what the context adds."""

from __future__ import annotations

import os
import resource
import selectors
import threading
import time

import pytest
from conftest import needs_polling, spin

from tpool.loop.selector import AioSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def test_select_returns_the_key_and_the_event_of_what_is_ready(selector, pair):
    key = selector.register(pair[0], READ, "data")
    assert selector.select(0) == []
    pair[1].send(b"x")
    assert selector.select(0) == [(key, READ)]
    assert key.data == "data"


def test_select_reports_again_what_was_not_read(selector, pair):
    key = selector.register(pair[0], READ)
    pair[1].send(b"x")
    assert [list(selector.select(0)) for _ in range(2)] == [[(key, READ)]] * 2


def test_both_events_of_one_file_are_reported(selector, pair):
    key = selector.register(pair[0], READ | WRITE)
    pair[1].send(b"x")
    assert sorted(event for _, event in selector.select(0)) == [READ, WRITE]
    assert {found for found, _ in selector.select(0)} == {key}


@pytest.mark.parametrize("change", ["unregister", "modify", "drop", "close"])
def test_what_a_callback_of_the_context_has_changed_is_not_reported(
    selector, pair, change
):
    """An event loop takes what it is told for what is registered now."""
    selector.register(pair[0], READ)
    other = selector.register(pair[1], WRITE)
    pair[1].send(b"x")

    def again():
        if change == "modify":
            selector.modify(pair[0], READ, "new")
        else:
            selector.unregister(pair[0])
        if change == "unregister":
            selector.register(pair[0], READ)
        elif change == "drop":
            pair[0].close()
        elif change == "close":
            selectors._BaseSelectorImpl.close(selector)

    selector.ctx.new_timer(again).mod_ns(0)
    assert selector.select(0) == ([] if change == "close" else [(other, WRITE)])
    if change in ("unregister", "modify"):
        assert [key for key, event in selector.select(0) if event == READ] == [
            selector.get_key(pair[0])
        ]


def test_modify_changes_event_and_data(selector, pair):
    selector.register(pair[0], READ, 1)
    key = selector.modify(pair[0], WRITE, 2)
    assert selector.select(0) == [(key, WRITE)]
    assert selector.get_key(pair[0]).data == 2


def test_unregister_forgets(selector, pair):
    selector.register(pair[0], READ)
    selector.unregister(pair[0])
    pair[1].send(b"x")
    assert selector.select(0) == []
    assert not selector.get_map()


def test_a_file_that_cannot_be_waited_for_leaves_no_key(selector, tmp_path):
    with (tmp_path / "plain").open("w") as file:
        with pytest.raises(OSError, match="not permitted"):
            selector.register(file, READ)
        assert not selector.get_map()


def test_notify_of_another_thread_ends_a_select_without_limit(selector):
    thread = threading.Thread(target=selector.ctx.notify)
    thread.start()
    assert selector.select(None) == []
    thread.join()


def test_select_is_never_early(selector):

    for timeout in (1e-9, 1e-6, 1e-3):
        begin = time.monotonic()
        selector.select(timeout)
        assert time.monotonic() - begin >= timeout


def test_an_fd_does_not_turn_polling_off(selector, pair):
    from tpool import ThreadPool

    selector.register(pair[0], READ)
    ctx = selector.ctx
    assert ctx.poll_disable_cnt == 1
    ctx.set_poll_params(10_000_000)
    with ThreadPool(ctx) as pool:
        for _ in range(50):
            # Long enough that it is not done before select() looks.
            request = pool.submit(time.sleep, 0.0002)
            while not request.done():
                selector.select(None)
    assert ctx.stats().polls_hit + ctx.stats().polls_refused > 0


def switches():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


CALLS = 40
counts_switches = pytest.mark.skipif(
    not hasattr(resource, "RUSAGE_THREAD"), reason="the system counts no switches"
)


def check_never_sleeps(ctx, run_calls):
    """Most phases find what they wait for, and the owner sleeps in none of these."""
    for _ in range(20):  # phases are refused, or miss, for what else runs here
        hits, slept = ctx.stats().polls_hit, switches()
        run_calls()
        hits, slept = ctx.stats().polls_hit - hits, switches() - slept
        if hits > CALLS // 2 > slept:
            return
    pytest.fail(
        f"{CALLS} calls, {hits} found by polling: the owner slept {slept} times"
    )


@counts_switches
@needs_polling
def test_a_poll_phase_never_sleeps_for_the_gil_that_the_call_holds(selector, pair):
    from tpool import ThreadPool

    selector.register(pair[0], READ)  # looked at every 10 us
    selector.ctx.set_poll_params(10**9, 2**40, 1, hybrid=False)

    def run_calls():
        for _ in range(CALLS):
            request = pool.submit(spin, 300_000)
            while not request.done():
                selector.select(None)

    with ThreadPool(selector.ctx) as pool:
        check_never_sleeps(selector.ctx, run_calls)


@counts_switches
@needs_polling
def test_notify_gives_the_gil_to_an_owner_that_polls(selector, background):
    ctx, turns = selector.ctx, []
    ctx.set_poll_params(10**9, 2**40, 1)

    def notify_and_compute():
        for turn in range(CALLS):
            while len(turns) < turn or not ctx.notify_me:
                time.sleep(0)
            ctx.notify()
            spin(300_000)

    def run_calls():
        turns.clear()
        poster = background(notify_and_compute)
        for turn in range(CALLS):
            selector.select(None)
            turns.append(turn)
        poster.finish()

    check_never_sleeps(ctx, run_calls)


@needs_polling
def test_a_socket_that_is_ready_ends_the_poll_phase(selector, pair):
    from tpool import ThreadPool

    ctx = selector.ctx
    ctx.set_poll_params(10**12)
    release = threading.Event()
    with ThreadPool(ctx) as pool:
        while not ctx.poll_ns:  # until it polls
            request = pool.submit(int)
            while not request.done():
                selector.select(None)
        key = selector.register(pair[0], READ)
        request = pool.submit(release.wait)
        sender = threading.Timer(0.05, pair[1].send, (b"x",))
        sender.start()
        assert selector.select(None) == [(key, READ)]
        assert not request.done()
        sender.join()
        release.set()


def test_a_modify_that_fails_leaves_no_key(selector, pair):
    ours, _ = pair
    fd = os.dup(ours.fileno())
    selector.register(fd, selectors.EVENT_READ)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.modify(fd, selectors.EVENT_WRITE)
    assert fd not in selector.get_map()


def test_a_number_whose_file_was_closed_with_a_handler_is_heard_of(selector, pair):
    """The handler's owner never promised to remove it first."""
    fd = os.dup(pair[1].fileno())
    selector.ctx.set_fd_handler(fd, int)
    os.dup2(pair[0].fileno(), fd)
    key = selector.register(fd, READ)
    pair[1].send(b"x")
    assert selector.select(0) == [(key, READ)]
    selector.unregister(fd)
    os.close(fd)


def test_its_context_polls_longer_by_default_and_the_environment_still_rules(
    monkeypatch,
):
    monkeypatch.delenv("TPOOL_POLL_MAX_NS", raising=False)
    found = []
    for text in (None, "1234", "0"):
        if text is not None:
            monkeypatch.setenv("TPOOL_POLL_MAX_NS", text)
        selector = AioSelector()
        found.append(selector.ctx.poll_max_ns)
        selector.close()
    assert found == [65_536, 1234, 0]


def test_it_is_found_where_it_was_too():
    import tpool.selector

    assert tpool.selector.AioSelector is AioSelector
