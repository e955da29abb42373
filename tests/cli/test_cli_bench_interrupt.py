# SPDX-License-Identifier: MIT
"""Ctrl-C during `tpool bench`: complete rounds are printed, and no others."""

from __future__ import annotations

import json
import os
import signal

import pytest
from benching import CASES, MODES, ONE, TIMEOUT_S, bench, command, needs_cli, needs_plot

pytestmark = pytest.mark.timeout(300)


@needs_cli
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ctrl_c_prints_complete_rounds_and_exits_130(terminal, options):
    environment = {**os.environ, "TERM": "xterm"}
    arguments = command(*ONE, *options, rounds=10**6)
    with terminal.spawn(arguments, env=environment) as child:
        # The third round: so two of each case are complete.
        terminal.read_until(b"round 3 of 1000000, no-op")
        child.send_signal(signal.SIGINT)
        # First, or a full terminal would hold the child up.
        terminal.read_until(None)
        out = child.stdout.read().decode()
        assert child.wait(TIMEOUT_S) == 130
    assert b"Traceback" not in terminal.text
    if options:
        found = json.loads(out)
        assert found["interrupted"] is True
        assert [point["case"] for point in found["points"][::4]] == CASES
        assert min(point["rounds"] for point in found["points"]) >= 2
        assert found["advice"] is not None
    else:
        assert "interrupted; complete rounds: no-op: " in out
        assert "Recommended (*)" in out


@needs_plot
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_interrupt_before_a_round_is_complete_says_so(tmp_path, options):
    path = tmp_path / "a.png"
    result = bench(
        *ONE,
        *options,
        "--plot",
        path,
        before="""
            import signal
            from tpool.cli.bench import sweep
            pass_ = sweep.Sweep._one_pass

            def interrupted(self, case, way):
                if way.mode == "fixed":
                    signal.raise_signal(signal.SIGINT)
                return pass_(self, case, way)

            sweep.Sweep._one_pass = interrupted
        """,
    )
    assert result.returncode == 130
    assert result.stderr == "tpool: interrupted before anything was measured\n"
    if options:
        found = json.loads(result.stdout)
        assert (found["points"], found["advice"]) == ([], None)
    else:
        assert result.stdout == ""
    assert not path.exists()


@needs_cli
def test_an_interrupt_while_it_sums_up_waits_until_all_is_printed():
    result = bench(
        "--json",
        *ONE,
        before="""
            import signal
            from tpool.cli.bench import points
            made = points.points

            def interrupted(*arguments):
                signal.raise_signal(signal.SIGINT)
                return made(*arguments)

            points.points = interrupted
        """,
    )
    assert (result.returncode, result.stderr) == (130, "")
    found = json.loads(result.stdout)
    assert len(found["points"]) == len(CASES) * len(MODES)


@needs_cli
def test_an_interrupt_that_the_shell_ignores_is_ignored():
    result = bench(
        "--json",
        *ONE,
        before="""
            import os, signal
            from tpool.cli.bench import sweep
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            run = sweep.Sweep.run

            def interrupted(self):
                os.kill(os.getpid(), signal.SIGINT)
                run(self)

            sweep.Sweep.run = interrupted
        """,
    )
    assert result.returncode == 0
    assert json.loads(result.stdout)["interrupted"] is False
