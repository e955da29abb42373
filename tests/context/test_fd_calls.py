# SPDX-License-Identifier: MIT
"""The system calls that registering fds costs: those of the stock selector."""

from __future__ import annotations

import os
import re
import selectors
import socket
from collections import Counter
from functools import partial

import c_build
import pytest
from conftest import poll_until, traced

pytestmark = pytest.mark.timeout(120)
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# Whatever tells something about an fd, or asks it; a wait asks for its own besides.
CALLS = "epoll_ctl,fcntl,ioctl,dup,dup2,dup3,poll,ppoll,write"


def steps(log):
    """Return what each step did, by its name: a Counter of calls."""
    done, name = {}, "none"
    for line in log.read_text(errors="replace").splitlines():
        call, _, rest = line.partition(" ")[2].strip().partition("(")
        if begun := re.match(r'[12], "step (.*)\\n"', rest):
            name = begun[1]
            done.setdefault(name, Counter())
        elif "F_GETFL" in rest:
            continue  # set_wakeup_fd() of CPython 3.11 and 3.12, in a wait
        elif call != "write" and name != "none":
            command = re.search(r"EPOLL_CTL_\w+|F_\w+", rest)
            done[name][f"{call} {command[0] if command else ''}"] += 1
    return done


@pytest.mark.parametrize("what", ["", " selector"])
def test_fds_cost_the_calls_of_the_stock_selector(isolated, tmp_path, what):
    seen = {}
    for peer in ("stock", "tpool"):
        log = tmp_path / peer
        prefix = traced("-e", f"trace={CALLS}", log=log)
        isolated("fd_calls.py", peer + what, prefix=prefix)
        seen[peer] = steps(log)
    assert len(seen["stock"]) > 5
    assert (
        "epoll_ctl EPOLL_CTL_ADD" in seen["stock"]["register" if what else "add reader"]
    )
    assert seen["tpool"] == seen["stock"]


@pytest.mark.parametrize("flags", [(), ("-DTPOOL_NO_EPOLL",)], ids=["epoll", "poll"])
def test_each_change_costs_one_call_at_most(tmp_path, flags):
    exe = c_build.build_c(tmp_path, "fdmon_calls", "-O1", "-Werror", *flags)
    log = tmp_path / "log"
    command = [*traced("-e", f"trace={CALLS}", log=log), str(exe)]
    assert c_build.run(*command).returncode == 0
    seen = steps(log)
    assert set(seen) == {"none", "add", "set", "remove", "add anew", "set anew"}
    for name in ("add", "set", "remove"):
        assert seen[name].total() <= 1, seen
    for name in ("add anew", "set anew"):  # the number stands for something else
        assert seen[name].total() <= 2, seen


@pytest.fixture
def pairs():
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for left, right in made:
        left.close()
        right.close()


def test_a_modify_with_the_same_events_still_hears_of_them(selector, pairs):
    ((left, right), _) = pairs
    selector.register(left, READ, 1)
    key = selector.modify(left, READ, 2)
    assert selector.select(0) == []
    right.send(b"x")
    assert selector.select(None) == [(key, READ)]
    key = selector.modify(left, READ, 3)
    assert selector.select(0) == [(key, READ)]


@pytest.mark.parametrize("change", ["same", "again"])
def test_what_was_seen_before_a_change_is_not_for_the_new_callback(ctx, pairs, change):
    """The first that is served reads the other's fd, and gives it a new callback."""
    ran, socks = [], [left for left, _ in pairs]

    def serve(own):
        def callback():
            (other,) = (sock for sock in socks if sock is not own)
            other.recv(1)
            if change == "again":
                ctx._watch_fd(other, None, None)
            ctx._watch_fd(other, lambda: ran.append(other.recv(1)), None)
            ctx._watch_fd(own, None, None)

        return callback

    for left, right in pairs:
        ctx._watch_fd(left, serve(left), None)
        right.send(b"x")
    assert ctx.poll(False) is True
    assert ran == []
    assert ctx.poll(False) is False
    for _, right in pairs:
        right.send(b"y")
    poll_until(ctx, lambda: ran)
    assert ran == [b"y"]
    for sock in socks:
        ctx._watch_fd(sock, None, None)


def test_a_nested_turn_that_changes_a_callback_leaves_nothing_to_the_outer_one(
    ctx, pairs
):
    ran, socks = [], [left for left, _ in pairs]

    def again(sock):
        ran.append(sock.recv(1))
        ctx._watch_fd(sock, partial(again, sock), None)

    def serve(sock):
        def callback():
            for one in socks:
                ctx._watch_fd(one, partial(again, one), None)
            ctx.poll(False)

        return callback

    for left, right in pairs:
        left.setblocking(False)
        ctx._watch_fd(left, serve(left), None)
        right.send(b"x")
    ctx.poll(False)
    poll_until(ctx, lambda: len(ran) == 2)
    assert ran == [b"x", b"x"]
    for sock in socks:
        ctx._watch_fd(sock, None, None)


def test_an_fd_that_is_closed_behind_a_selector_s_back_is_dropped(
    selector, pairs, unraisable
):
    """The stock selector reports it for ever, while a duplicate is open."""
    ((left, right), _) = pairs
    number = os.dup(left.fileno())
    selector.register(number, READ)
    os.close(number)
    right.send(b"x")
    reports = 0
    while selector.select(0):
        reports += 1
        assert reports < 100
    assert [error.errno for error in unraisable] == [9]
    selector.unregister(number)


@pytest.mark.parametrize("closed", [-1, 2**31 - 1])
def test_a_number_that_is_no_fd_takes_no_memory(ctx, closed):
    with pytest.raises((OSError, ValueError)):
        ctx.set_fd_handler(closed, int)
    assert ctx.poll_disable_cnt == 0
