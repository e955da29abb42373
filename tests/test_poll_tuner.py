# SPDX-License-Identifier: MIT
"""The rule of section 4 on the C file alone, and through a context."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tpool

pytestmark = pytest.mark.timeout(120)
CSRC = Path(__file__).parents[1] / "tpool" / "csrc"
MAX = 2**63 - 1
KEEP, GROW, SHRINK = 0, 1, 2
NS = st.integers(0, MAX)


class Params(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("max_ns", "grow", "shrink")]


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("tuner") / "poll_tuner.so"
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-UNDEBUG", "-ftrapv"]
    source = str(CSRC / "poll_tuner.c")
    subprocess.run([compiler, *flags, "-o", str(library), source], check=True)
    function = ctypes.CDLL(str(library)).poll_tuner_next_ns
    function.restype = ctypes.c_int64
    function.argtypes = [
        ctypes.POINTER(Params),
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.POINTER(ctypes.c_int),
    ]

    def next_ns(max_ns, grow, shrink, poll_ns, block_ns):
        verdict = ctypes.c_int(-1)
        params = Params(max_ns, grow, shrink)
        out = function(ctypes.byref(params), poll_ns, block_ns, ctypes.byref(verdict))
        return out, verdict.value

    return next_ns


@pytest.mark.parametrize(
    ("max_ns", "grow", "shrink", "poll_ns", "block_ns", "result"),
    [
        (32768, 0, 0, 8000, 8000, (8000, KEEP)),  # the sweet spot
        (32768, 0, 0, 8000, 0, (8000, KEEP)),
        (32768, 0, 0, 0, 0, (0, KEEP)),
        (32768, 0, 0, 0, 1, (4000, GROW)),  # from nothing
        (1000, 0, 0, 0, 1, (1000, GROW)),
        (32768, 0, 0, 8000, 8001, (16000, GROW)),
        (32768, 3, 0, 8000, 8001, (24000, GROW)),
        (32768, 0, 0, 20000, 32768, (32768, GROW)),
        (32768, 0, 0, 32768, 32768, (32768, KEEP)),
        (32768, 0, 0, 8000, 32769, (0, SHRINK)),
        (32768, 0, 2, 8000, 32769, (4000, SHRINK)),
        (32768, 0, 2, 1, 32769, (0, SHRINK)),
        (32768, 0, 1, 8000, 32769, (8000, KEEP)),
        (32768, 0, 0, 0, 32769, (0, KEEP)),
        (0, 0, 0, 0, 1, (0, KEEP)),
        (MAX, 0, 0, MAX // 2 + 1, MAX, (MAX, GROW)),
        (MAX, MAX, 0, 2, 3, (MAX, GROW)),
    ],
)
def test_rule(tuner, max_ns, grow, shrink, poll_ns, block_ns, result):
    assert tuner(max_ns, grow, shrink, poll_ns, block_ns) == result


@settings(max_examples=500, deadline=None)
@given(max_ns=NS, grow=NS, shrink=NS, poll_ns=NS, block_ns=NS)
def test_window_stays_in_its_bounds_and_the_verdict_says_what_was_done(
    tuner, max_ns, grow, shrink, poll_ns, block_ns
):
    poll_ns = min(poll_ns, max_ns)
    next_ns, verdict = tuner(max_ns, grow, shrink, poll_ns, block_ns)
    assert 0 <= next_ns <= max_ns
    assert verdict == (next_ns > poll_ns) * GROW + (next_ns < poll_ns) * SHRINK
    if block_ns <= poll_ns:
        assert next_ns == poll_ns
    elif block_ns <= max_ns:
        want = poll_ns * (grow or 2) if poll_ns else 4000
        assert next_ns == min(want, max_ns)
    else:
        assert next_ns == (poll_ns // shrink if shrink else 0)


@settings(max_examples=300, deadline=None)
@given(max_ns=NS, grow=NS, shrink=NS, a=NS, b=NS, block_ns=NS)
def test_longer_window_never_becomes_the_shorter_one(
    tuner, max_ns, grow, shrink, a, b, block_ns
):
    """Monotonous where both grow, or both shrink."""
    low, high = sorted((min(a, max_ns), min(b, max_ns)))
    if block_ns > max_ns or (high < block_ns and low > 0):
        first, _ = tuner(max_ns, grow, shrink, low, block_ns)
        second, _ = tuner(max_ns, grow, shrink, high, block_ns)
        assert first <= second


@settings(max_examples=100, deadline=None)
@given(max_ns=st.integers(1, MAX), block_ns=NS)
def test_equal_waits_settle(tuner, max_ns, block_ns):
    poll_ns, verdict = 0, GROW
    for _ in range(70):
        poll_ns, verdict = tuner(max_ns, 0, 2, poll_ns, block_ns)
    assert verdict == KEEP
    assert poll_ns == 0 if block_ns > max_ns else poll_ns >= min(block_ns, 0)


@pytest.fixture
def source(ctx):
    """Return a pollable source and whether its io_poll says that it is ready."""
    ready = [False]
    note = tpool.EventNotifier()
    ctx.set_event_notifier(note, note.test_and_clear, lambda: ready[0], lambda: None)
    yield note, ready
    note.close()


def test_context_s_window_grows_from_nothing_to_4000_and_by_its_factor(ctx, source):
    """A window that is always too short: what ends the wait is the fd alone."""
    note, _ = source
    ctx.set_poll_params(4_000_000_000, grow=1_000)
    note.set()
    ctx.poll()
    assert ctx.poll_ns == 4000


def test_context_s_window_never_exceeds_its_bound(ctx, source):
    note, _ = source
    ctx.set_poll_params(1500)
    for _ in range(5):
        note.set()
        ctx.poll()
        assert 0 <= ctx.poll_ns <= 1500


def test_context_s_window_stays_where_io_poll_is_quick(ctx, source):
    note, ready = source
    ctx.set_poll_params(4_000_000_000)
    note.set()
    ctx.poll()
    ready[0] = True
    before = ctx.stats().polls_hit
    ctx.poll()
    if ctx.stats().polls_hit == before:
        pytest.skip("no poll phase: only one CPU is usable")
    assert ctx.poll_ns in (4000, 8000)  # 8000 where 4 us were over already


def test_slow_source_does_not_end_the_polling_of_a_fast_one(ctx, source):
    """Kept per source: a wait that another source ended teaches the slow one nothing."""
    fast, _ = source
    slow = tpool.EventNotifier()
    ctx.set_poll_params(4_000_000_000)
    ctx.set_event_notifier(slow, slow.test_and_clear, lambda: False)
    for _ in range(3):
        fast.set()
        ctx.poll()
    grown = ctx.poll_ns
    assert grown >= 4000
    ctx.set_event_notifier(slow)
    assert ctx.poll_ns == grown
    slow.close()


def test_new_parameters_start_from_nothing(ctx, source):
    note, _ = source
    ctx.set_poll_params(4_000_000_000)
    note.set()
    ctx.poll()
    assert ctx.poll_ns == 4000
    ctx.set_poll_params(4_000_000_000)
    assert ctx.poll_ns == 0
