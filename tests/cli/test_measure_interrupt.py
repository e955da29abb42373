# SPDX-License-Identifier: MIT
"""Ctrl-C while it measures: what was measured is printed, and nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from measuring import (
    MODES,
    TIMEOUT_S,
    TREE_FILES,
    command,
    document,
    make_tree,
    measurement,
)

from tpool import cli
from tpool.cli.measure import measure
from tpool.cli.measure import tree as tree_module


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_prints_what_was_measured_and_exits_130(tree, terminal, mode, options):
    with terminal.spawn(command("measure", "--rounds", 10**9, *options, tree)) as child:
        # The third round: so at least two of each are complete.
        terminal.read_until(f"round 3 of 1000000000, {mode}".encode())
        child.send_signal(signal.SIGINT)
        # First, or a full terminal would hold the child up.
        terminal.read_until(None)
        out = child.stdout.read().decode()
        assert child.wait(TIMEOUT_S) == 130
    assert b"Traceback" not in terminal.text
    if options:
        found = json.loads(out)
        assert found["interrupted"] is True
        assert found["digests_agree"] is True
        for result in found["modes"]:
            assert result["rounds"] >= 2
            assert result["files"] >= 2 * TREE_FILES
    else:
        assert "interrupted; complete rounds: " in out
        for name in MODES:
            assert any(line.startswith(name) for line in out.splitlines())


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_in_a_pass_keeps_what_it_measured(tree, mode):
    seen = []
    labels = []

    def progress(what, done, total):
        if what.startswith("round"):
            labels.append(what)
        if what == f"round 1 of 5, {mode}" and done:
            seen.append(done)
            raise KeyboardInterrupt

    run_ = measurement(tree, progress, rounds=5)
    with pytest.raises(KeyboardInterrupt):
        run_.run()
    position = MODES.index(mode)
    results = run_.results()
    assert [result.rounds for result in results] == [
        int(number < position) for number in range(3)
    ]
    assert results[position].files == seen[0]
    assert results[position].files_per_s > 0
    assert [result.files_per_s for result in results[position + 1 :]] == [None] * (
        2 - position
    )
    assert threading.active_count() == 1


@pytest.mark.parametrize("method", ["submit", "usage", "close"])
@pytest.mark.parametrize("kind", ["TpoolPeer", "FuturesPeer"])
def test_an_interrupt_inside_a_pool_waits_until_the_pool_is_left(
    tree, monkeypatch, capsys, kind, method
):
    """Raised there, it would leave a future of the stock executor locked."""
    peer = getattr(measure, kind)
    original = getattr(peer, method)
    interrupted = []

    def interrupt(self, *arguments):
        if not interrupted:
            interrupted.append(self)
            signal.raise_signal(signal.SIGINT)
            interrupted.append(self)
        return original(self, *arguments)

    monkeypatch.setattr(peer, method, interrupt)
    assert cli.main(["measure", "--json", "--rounds", "2", str(tree)]) == 130
    assert len(interrupted) == 2
    assert json.loads(capsys.readouterr().out)["interrupted"] is True
    assert threading.active_count() == 1


def test_a_second_interrupt_does_not_wait():
    interrupt = measure.Interrupt()
    interrupt.give_up()
    interrupt.handler(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        interrupt.handler(signal.SIGINT, None)


@pytest.mark.parametrize("what", ["walking", "reading once"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_interrupt_before_the_first_round_says_so(tree, what, options):
    """The interrupt is raised where a signal would raise it."""
    code = textwrap.dedent(f"""
        import sys
        from tpool import cli
        from tpool.cli.measure import measure

        def tell(self, what, done, total):
            if what == {what!r}:
                raise KeyboardInterrupt

        measure.Measurement._tell = tell
        sys.exit(cli.main(sys.argv[1:]))
    """)
    result = subprocess.run(
        [sys.executable, "-c", code, "measure", *options, str(tree)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 130
    assert result.stderr == "tpool: interrupted before anything was measured\n"
    if options:
        assert document(result)["modes"] == []
    else:
        assert result.stdout == ""


def test_an_interrupt_stops_workers_in_the_middle_of_a_file(tmp_path):
    """A sparse file of 1 TiB, met in the first reading: no end is waited for."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(1 << 40)
    info = big.stat()
    stop = measure.Interrupt()
    stop.give_up()
    with pytest.raises(tree_module.StopError):
        measure.read_file(measure.Item(str(big), info.st_dev, info.st_ino), stop)
