# SPDX-License-Identifier: MIT
"""Futures of ThreadPoolExecutor: who is told, and what they raise then."""

from __future__ import annotations

import logging
import sys
import threading

import pytest
from conftest import wait_until


def test_callbacks_run_in_order_in_the_thread_or_at_once(one, running, gate):
    seen = []
    for i in range(3):
        running.add_done_callback(
            lambda future, i=i: seen.append((i, future, threading.get_ident()))
        )
    thread = one.submit(threading.get_ident)
    gate.set()
    assert seen == [(i, running, thread.result()) for i in range(3)]
    running.add_done_callback(seen.append)
    assert seen[3] is running


def test_callback_that_raises_is_logged_and_loses_no_other(running, gate, caplog):
    seen = []
    running.add_done_callback(lambda _: 1 / 0)
    running.add_done_callback(seen.append)
    gate.set()
    running.result()
    wait_until(lambda: seen == [running])
    assert "exception calling callback for <Future" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
    running.add_done_callback(lambda _: 1 / 0)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_f05b_callback_that_would_end_the_thread_does_not(
    one, running, gate, caplog, error
):
    def leave(_):
        raise error

    seen = []
    running.add_done_callback(leave)
    running.add_done_callback(seen.append)
    gate.set()
    assert one.submit(int).result(timeout=30) == 0
    assert seen == [running]
    assert error.__name__ in caplog.text
    with pytest.raises(error):
        running.add_done_callback(leave)


def test_callback_of_a_cancelled_future_may_raise_through_cancel(pending):
    pending.add_done_callback(lambda _: sys.exit(3))
    with pytest.raises(SystemExit):
        pending.cancel()
    assert pending.cancelled()


class Interrupted:
    """Of wait(), or a handler of the log; Ctrl-C comes while it is told."""

    level = 0

    def interrupt(self, _):
        raise KeyboardInterrupt

    add_cancelled = add_result = handle = interrupt


def test_f16_ctrl_c_while_others_are_told_is_raised(pending, unraisable):
    seen = []
    pending.add_done_callback(seen.append)
    pending._condition  # from now on it is told to those of wait()  # noqa: B018
    pending._waiters.extend([Interrupted(), Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        pending.cancel()
    assert pending.cancelled()
    assert seen == [pending]
    assert len(unraisable) == 1  # of the second, who was told all the same


def test_f16_ctrl_c_in_the_log_is_raised(pending, monkeypatch, unraisable):
    logger = logging.getLogger("concurrent.futures")
    monkeypatch.setattr(logger, "handlers", [Interrupted()])
    pending.add_done_callback(lambda _: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        pending.cancel()
    assert not unraisable


def test_f16_ctrl_c_that_reaches_a_worker_is_told(running, gate, unraisable):
    running._condition  # noqa: B018
    running._waiters.append(Interrupted())
    gate.set()
    assert running.result(30) == 7
    wait_until(lambda: [type(error) for error in unraisable] == [KeyboardInterrupt])
