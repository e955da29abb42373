# SPDX-License-Identifier: MIT
"""What tracing records, and how it is read, lost and written."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time

import pytest
from conftest import needs_polling, refuse_threads, run_code, wait_blocked, wait_until

import tpool
from tpool import trace
from tpool.trace import perfetto

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def traced():
    trace.enable()
    yield
    trace.disable()
    trace.read()


def names(identity):
    return [event.name for event in trace.read() if event.id == identity]


def windows(ctx):
    return [name for name in names(id(ctx)) if name.startswith("poll_")]


def test_nothing_is_recorded_while_it_is_off(pool):
    trace.enable()
    trace.disable()
    assert not trace.enabled()
    pool.submit(int).result()
    assert trace.read() == []


@pytest.mark.usefixtures("traced")
def test_request_is_submitted_started_and_completed_in_that_order(pool):
    assert trace.enabled()
    req = pool.submit(int)
    req.result()
    events = [event for event in trace.read() if event.id == id(req)]
    assert [event.name for event in events] == [
        "thread_pool_submit",
        "thread_pool_start",
        "thread_pool_complete",
        "thread_pool_dispatch",
    ]
    assert events[0].thread == events[3].thread == threading.get_ident()
    assert events[1].thread == events[2].thread != threading.get_ident()
    assert [event.time_ns for event in events] == sorted(e.time_ns for e in events)
    assert events[-1].time_ns <= time.monotonic_ns()


@pytest.mark.usefixtures("traced")
def test_cancelled_request_is_submitted_and_cancelled(single, gate):
    single.submit(gate.wait)
    wait_until(lambda: single.stats().running == 1)
    req = single.submit(int)
    assert req.cancel()
    single.ctx.poll(False)
    assert names(id(req)) == [
        "thread_pool_submit",
        "thread_pool_cancel",
        "thread_pool_dispatch",
    ]


@pytest.mark.usefixtures("traced")
def test_poll_phases_begin_and_end_in_pairs_and_windows_grow(ctx, pool):
    ctx.set_poll_params(1_000_000_000)
    for _ in range(200):
        pool.submit(int).result()
    events = [event for event in trace.read() if event.id == id(ctx)]
    phases = [e for e in events if e.name.startswith("run_poll_handlers")]
    grown = [e.arg for e in events if e.name == "poll_grow"]
    if not phases:
        pytest.skip("no poll phase: owner and worker share the one usable CPU")
    assert [e.name for e in phases] == [
        "run_poll_handlers_begin",
        "run_poll_handlers_end",
    ] * (len(phases) // 2)
    assert all(0 < e.arg <= 1_000_000_000 for e in phases[::2])
    assert {e.arg for e in phases[1::2]} <= {0, 1}
    assert grown[0] == 4000
    stats = ctx.stats()
    assert sum(e.arg for e in phases[1::2]) == stats.polls_hit
    assert len(phases) // 2 == stats.polls_hit + stats.polls_missed


@needs_polling
@pytest.mark.usefixtures("traced")
def test_shrink_says_the_new_window(ctx, background):
    ctx.set_poll_params(50_000_000)
    note = tpool.EventNotifier(active=True)
    ctx.set_event_notifier(note, note.test_and_clear, lambda: False)
    ctx.poll()  # ready at once: the window grows from nothing
    assert windows(ctx) == ["poll_skipped", "poll_grow"]

    def post():
        wait_blocked(ctx)
        threading.Event().wait(0.1)  # makes the wait longer than poll_max_ns
        note.set()

    background(post)
    ctx.poll()
    assert windows(ctx) == ["poll_shrink"]
    assert ctx.poll_ns == 0
    note.close()


@pytest.mark.usefixtures("traced")
def test_lost_counts_what_was_overwritten_before_it_was_read(single):
    assert trace.lost() == 0
    for req in single.submit_many(int, [()] * 40_000):
        req.result()
    kept = [e for e in trace.read() if e.thread == threading.get_ident()]
    assert trace.lost() > 0
    assert len(kept) <= 65535
    trace.enable()
    assert trace.lost() == 0


@pytest.mark.usefixtures("traced")
def test_events_of_a_thread_that_has_ended_can_be_read(background, pool):
    req = background(pool.submit, int).finish()
    req.result()
    assert names(id(req))[0] == "thread_pool_submit"


@pytest.mark.usefixtures("traced")
def test_owner_s_block_and_worker_s_waits_say_when_and_how_long(ctx, background, gate):
    ctx.set_poll_params(0)
    with tpool.ThreadPool(ctx, max_threads=1) as pool:
        pool.submit(int).result()
        wait_until(lambda: pool.stats().parked_ns)
        started_ns = time.monotonic_ns()
        background(lambda: (wait_blocked(ctx), gate.set()))
        pool.submit(gate.wait).result()
        events = {event.name: event for event in trace.read()}
    block, park = events["block"], events["worker_park"]
    assert (block.id, block.thread) == (id(ctx), threading.get_ident())
    assert started_ns < block.time_ns <= block.time_ns + block.arg
    assert block.arg > 0
    assert block.time_ns + block.arg <= time.monotonic_ns()
    assert park.time_ns < started_ns < park.time_ns + park.arg
    assert park.thread == events["thread_pool_start"].thread


def by_phase(document):
    entries = {}
    for entry in document["traceEvents"]:
        entries.setdefault(entry["ph"], []).append(entry)
    return entries


def test_a_recording_shows_calls_waits_and_each_request_as_an_arrow(
    tmp_path, background
):
    path, gates = tmp_path / "trace.json", [threading.Event(), threading.Event()]
    with (
        tpool.AioContext() as ctx,
        tpool.ThreadPool(ctx, max_threads=2) as pool,
        trace.record(path) as recording,
    ):
        for _ in range(98):  # of which each may be done before it is waited for
            pool.submit(int).result()
        for gate in gates:
            background(lambda gate: (wait_blocked(ctx), gate.set()), gate)
            pool.submit(gate.wait).result()
    document = json.loads(path.read_text())
    assert document["otherData"] == {"events": recording.events, "lost": 0}
    assert not trace.enabled()
    entries = by_phase(document)
    slices = entries["X"]
    names_of = [entry["name"] for entry in slices]
    assert names_of.count("call") == names_of.count("submit") == 100
    assert names_of.count("dispatch") == 100
    assert {"working"} < set(names_of)
    assert all(entry["dur"] >= 0 and entry["ts"] >= 0 for entry in slices)
    arrows = [[e["id"] for e in entries[phase]] for phase in "stf"]
    assert sorted(arrows[0]) == sorted(set(arrows[0]))
    assert sorted(arrows[0]) == sorted(arrows[1]) == sorted(arrows[2])
    labels = {e["args"]["name"]: e["tid"] for e in entries["M"] if "name" in e["args"]}
    assert labels["MainThread"] in {e["tid"] for e in slices if e["name"] == "dispatch"}
    assert any(name.startswith("tpool_") for name in labels)


def test_slices_of_one_track_do_not_overlap_but_for_those_inside(tmp_path):
    path = tmp_path / "trace.json"
    with (
        tpool.AioContext() as ctx,
        tpool.ThreadPool(ctx, max_threads=2) as pool,
        trace.record(path),
    ):
        for number in range(50):
            pool.submit(time.sleep, 0.0001 * (number % 3)).result()
    tracks = {}
    for entry in by_phase(json.loads(path.read_text()))["X"]:
        if entry["name"] not in perfetto._FLASHES.values():
            tracks.setdefault(entry["tid"], []).append(
                (round(entry["ts"] * 1000), round((entry["ts"] + entry["dur"]) * 1000))
            )
    for spans in tracks.values():
        spans.sort()
        for (_, end), (begin, _) in itertools.pairwise(spans):
            assert end <= begin


def test_a_recording_counts_what_it_lost(tmp_path, single, monkeypatch):
    monkeypatch.setattr("tpool.trace.recording._DRAIN_S", 3600)
    with trace.record(tmp_path / "trace.json") as recording:
        for req in single.submit_many(int, [()] * 40_000):
            req.result()
    assert recording.lost > 0
    said = json.loads((tmp_path / "trace.json").read_text())["otherData"]
    assert said["lost"] == recording.lost


def test_a_recording_is_written_also_when_something_is_raised(tmp_path, pool):
    path = tmp_path / "trace.json"

    def fail():
        with trace.record(path):
            pool.submit(int).result()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert json.loads(path.read_text())["otherData"]["events"] > 0
    assert not trace.enabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_recording_is_the_parent_s_alone(tmp_path):
    code = (
        "import os, sys, tpool\n"
        "with tpool.trace.record(sys.argv[1]):\n"
        "    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:\n"
        "        pool.submit(int).result()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        sys.exit(3)\n"
        "    status = os.waitpid(child, 0)[1]\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    path = tmp_path / "trace.json"
    run_code(code, path, options=("-W", "ignore::DeprecationWarning"), status=3)
    assert json.loads(path.read_text())["traceEvents"]


@pytest.mark.usefixtures("traced")
def test_a_second_recording_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="already"):
        trace.record(tmp_path / "other.json").__enter__()
    assert not (tmp_path / "other.json").exists()


def test_two_threads_cannot_record_at_once(tmp_path, background):
    meet, refused = threading.Barrier(2), []

    def once(path):
        meet.wait()
        try:
            with trace.record(path):
                meet.wait()
        except RuntimeError:
            refused.append(path)
            meet.wait()

    for number in range(20):
        other = background(once, tmp_path / f"{number}")
        once(tmp_path / "mine")
        other.finish()
    assert len(refused) == 20
    assert not trace.enabled()


def test_none_begins_while_another_is_written(tmp_path, single, monkeypatch):
    """It would take the events that the other has not read yet, or forget them."""
    document = perfetto.document

    def write(*args):
        with pytest.raises(RuntimeError, match="already"):
            trace.record(tmp_path / "other").__enter__()
        return document(*args)

    monkeypatch.setattr(perfetto, "document", write)
    with trace.record(tmp_path / "mine") as recording:
        single.submit(int).result()
    assert recording.events > 0
    with trace.record(tmp_path / "next"):
        pass


def test_a_thread_records_until_it_ends_and_a_ctrl_c_loses_nothing(tmp_path):
    """The exit of the interpreter waits for the first, and not for the second."""
    code = (
        "import os, signal, sys, threading, time, tpool, tpool.thread_pool\n"
        "def work(ctx):\n"
        "    for _ in range(20):\n"
        "        ctx.new_timer(int).mod_ns(time.monotonic_ns() + 1_000_000)\n"
        "        ctx.poll()\n"
        "def record():\n"
        "    with tpool.trace.record(sys.argv[1]), tpool.AioContext() as ctx:\n"
        "        entered.set()\n"
        "        threading.main_thread().join()\n"
        "        work(ctx)\n"
        "def interrupt():\n"
        "    tpool.thread_pool.exiting.wait()\n"
        "    time.sleep(0.05)\n"  # until it joins the threads
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "if sys.argv[2] == 'thread':\n"
        "    entered = threading.Event()\n"
        "    threading.Thread(target=record).start()\n"
        "    entered.wait()\n"
        "else:\n"
        "    recording = tpool.trace.record(sys.argv[1])\n"
        "    recording.__enter__()\n"
        "    ctx = tpool.AioContext()\n"
        "    pool = tpool.ThreadPool(ctx)\n"
        "    work(ctx)\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    pool.submit(threading.Event().wait)\n"
        "    threading.Thread(target=interrupt, daemon=True).start()\n"
    )
    for how, status in (("thread", 0), ("Ctrl-C", -signal.SIGINT)):
        said = run_code(code, tmp_path / how, how, status=status)
        document = json.loads((tmp_path / how).read_text())
        assert document["otherData"]["events"] >= 20, said.stderr


def test_a_reader_that_cannot_be_started_leaves_tracing_off(tmp_path, monkeypatch):
    refuse_threads(monkeypatch)
    with pytest.raises(RuntimeError, match="start"):
        trace.record(tmp_path / "trace.json").__enter__()
    assert not trace.enabled()


def test_a_recording_that_never_ends_lets_the_interpreter_exit(tmp_path):
    code = (
        "import sys, tpool\n"
        "recording = tpool.trace.record(sys.argv[1])\n"
        "recording.__enter__()\n"
    )
    said = run_code(code, tmp_path / "trace.json")
    assert said.stderr == ""
    assert json.loads((tmp_path / "trace.json").read_text())["otherData"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        trace.record(tmp_path / "nowhere" / "trace.json").__enter__()
    assert not trace.enabled()
