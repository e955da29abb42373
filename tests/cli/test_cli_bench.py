# SPDX-License-Identifier: MIT
"""The command line of `tpool bench`: its arguments, its output, its status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from benching import CASES, MODES, ONE, TIMEOUT_S, bench, command, needs_cli, needs_plot

from tpool import cli
from tpool.cli.bench import sweep

pytestmark = pytest.mark.timeout(300)
HINT = (
    "tpool: bench needs the extra 'cli': python -m pip install 'aio-tpool[cli]' "
    "(missing: {})\n"
)


def without(*modules):
    return f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"


@needs_cli
def test_json_has_a_point_for_each_case_and_way_and_the_advice():
    result = bench("--json", *ONE, rounds=2)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert set(found) == {
        "version",
        "environment",
        "rounds",
        "interrupted",
        "points",
        "aim",
        "advice",
    }
    assert (found["rounds"], found["interrupted"]) == (2, False)
    assert found["aim"] == {"cpu_budget": None, "latency_goal_us": None}
    rows = [(point["case"], point["mode"]) for point in found["points"]]
    assert rows == [(case, mode) for case in CASES for mode in MODES]
    for point in found["points"]:
        assert (point["rounds"], point["calls"]) == (2, 10)
        assert 0 <= point["latency_p50_us"] <= point["latency_p99_us"]
        assert point["cpu_us"] > 0
        if point["mode"] == "blocking":
            assert point["poll_max_ns"] == 0
            assert point["latency_ratio"] == point["cpu_ratio"] == 1
        else:
            assert point["poll_max_ns"] == 8192
    assert found["advice"]["met"] is True
    assert found["advice"]["mode"] in MODES
    assert f"poll_max_ns={found['advice']['poll_max_ns']}" in found["advice"]["source"]


@needs_cli
def test_the_quick_run_as_a_user_starts_it():
    result = subprocess.run(
        [sys.executable, "-m", "tpool", "bench", "--quick", "--json", *ONE],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert [point["case"] for point in found["points"][::4]] == CASES
    assert min(point["calls"] for point in found["points"]) >= 5


@needs_cli
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_the_table_has_all_rows_in_any_encoding(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "FORCE_COLOR": "1"}
    result = bench(*ONE, "--bound", 32768, env=environment, encoding=encoding)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for case in CASES:
        assert lines.count(case) == 1
    rows = [
        re.match(r"[* ] (\S+) +(\d+) +[\d.,]+ +[\d.,]+ +[\d.,]+ +[\d.]+ +[\d.]+$", line)
        for line in lines
    ]
    found = [(row[1], int(row[2])) for row in rows if row]
    ways = [(m, ns) for m in MODES[1:] for ns in (8192, 32768)]
    assert found == [("blocking", 0), *ways] * len(CASES)
    assert sum(line.startswith("* ") for line in lines) == len(CASES)
    assert "Recommended (*): poll_max_ns" in result.stdout
    assert "5 measured cases" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\\u" not in result.stdout
    assert result.stdout.isascii()


@needs_cli
def test_what_cannot_be_met_is_said_plainly_with_the_nearest():
    result = bench(*ONE, "--cpu-budget", "0.001%", "--latency-goal", "1ns")
    assert (result.returncode, result.stderr) == (0, "")
    assert "NO CONFIGURATION MEETS THE AIM." in result.stdout
    assert "Nearest (*): poll_max_ns" in result.stdout
    assert "Recommended" not in result.stdout
    found = json.loads(bench(*ONE, "--json", "--latency-goal", "1ns").stdout)
    assert found["advice"]["met"] is False
    assert found["aim"]["latency_goal_us"] == 0.001


@needs_cli
@pytest.mark.parametrize(
    ("text", "budget"), [("1.1", 1.1), ("110%", 1.1), ("50%", 0.5), ("10", 10)]
)
def test_a_budget_is_a_ratio_or_a_percentage(text, budget):
    found = json.loads(bench(*ONE, "--json", "--cpu-budget", text).stdout)
    assert found["aim"]["cpu_budget"] == pytest.approx(budget)


@needs_cli
@pytest.mark.parametrize(
    ("text", "us"), [("50", 50), ("50us", 50), ("0.05 ms", 50), (".5us", 0.5)]
)
def test_a_goal_is_a_time_in_us_or_with_a_unit(text, us):
    found = json.loads(bench(*ONE, "--json", "--latency-goal", text).stdout)
    assert found["aim"]["latency_goal_us"] == pytest.approx(us)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--work", "fast"),
        ("--work", "-1us"),
        ("--work", "101ms"),
        ("--work", "1e3us"),
        ("--work", ""),
        ("--bound", "0"),
        ("--bound", "1.5"),
        ("--bound", "-8192"),
        ("--bound", "\u0663"),
        ("--bound", "100000001"),
        ("--cpu-budget", "much"),
        ("--cpu-budget", "0"),
        ("--cpu-budget", "-10%"),
        ("--cpu-budget", "nan"),
        ("--cpu-budget", "inf%"),
        ("--cpu-budget", "110"),
        ("--cpu-budget", "%"),
        ("--latency-goal", "soon"),
        ("--latency-goal", "0"),
        ("--latency-goal", "5 min"),
        ("--latency-goal", "9" * 400),
        ("--plot", "picture.pdf"),
        ("--plot", "png"),
        ("--plot", ""),
    ],
)
def test_a_wrong_value_is_named_with_its_argument(option, value, capsys):
    assert cli.main(["bench", f"{option}={value}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith(f"tpool bench: error: argument {option}: ")
    assert repr(value) in last


@pytest.mark.parametrize("missing", [["hdrh"], ["rich"], ["hdrh", "rich"]])
def test_without_the_extra_there_is_one_clear_line(missing):
    names = {"hdrh": "hdrhistogram", "rich": "rich"}
    result = bench(*ONE, before=without("hdrh", "rich") if len(missing) > 1 else "")
    if len(missing) == 1:
        result = bench(
            *ONE,
            before=f"""
            import importlib.util
            importlib.util.find_spec = lambda name: None if name in {missing} else name
            """,
        )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == HINT.format(", ".join(names[name] for name in missing))


@needs_cli
def test_matplotlib_is_needed_to_plot_only(tmp_path):
    path = tmp_path / "picture.png"
    result = bench(*ONE, "--plot", path, before=without("matplotlib"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == HINT.format("matplotlib")
    assert not path.exists()
    assert bench(*ONE, before=without("matplotlib")).returncode == 0


def test_help_works_without_the_extra():
    result = bench("--help", before=without("hdrh", "rich", "matplotlib", "numpy"))
    assert (result.returncode, result.stderr) == (0, "")
    for word in (
        "--cpu-budget",
        "--latency-goal",
        "--plot",
        "--json",
        "aio-tpool[cli]",
    ):
        assert word in result.stdout
    assert "exit status" in result.stdout


def test_the_other_subcommands_need_no_extra(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for arguments in (["info"], ["measure", "--rounds", "1", str(tmp_path)]):
        code = without("hdrh", "rich", "matplotlib", "numpy") + (
            "from tpool import cli; sys.exit(cli.main(sys.argv[1:]))"
        )
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, b"")


@needs_plot
@pytest.mark.parametrize(
    ("name", "begin"), [("a.png", b"\x89PNG"), ("B.SVG", b"<?xml")]
)
def test_a_picture_is_drawn_as_its_suffix_says(tmp_path, name, begin):
    path = tmp_path / name
    path.write_bytes(b"old")
    result = bench(*ONE, "--json", "--plot", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["points"]
    assert path.read_bytes().startswith(begin)


@needs_plot
@pytest.mark.parametrize("kind", ["missing folder", "folder"])
def test_a_picture_that_cannot_be_written_is_said_before_measuring(tmp_path, kind):
    path = tmp_path / "nowhere" / "a.png" if kind == "missing folder" else tmp_path
    if kind == "folder":
        path = tmp_path / "a.png"
        path.mkdir()
    result = bench(
        *ONE,
        "--plot",
        path,
        before="""
            from tpool.cli.bench import sweep
            sweep.Sweep.run = lambda self: 1 / 0
        """,
    )
    assert (result.returncode, result.stdout) == (2, "")
    reason = "No such file" if kind == "missing folder" else "Is a directory"
    assert result.stderr.startswith(f"tpool: --plot {path}: {reason}")
    assert result.stderr.count("\n") == 1


@needs_plot
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_under_the_picture_leaves_the_figures(tmp_path):
    path = tmp_path / "a.png"
    path.symlink_to("/dev/full")
    result = bench(*ONE, "--json", "--plot", path)
    assert result.returncode == 1
    assert result.stderr == f"tpool: --plot {path}: No space left on device\n"
    assert json.loads(result.stdout)["points"]


@needs_plot
def test_a_library_that_is_broken_leaves_the_figures(tmp_path):
    """It is there, and does not import."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ImportError('broken')")
    result = bench(
        *ONE,
        "--json",
        "--plot",
        tmp_path / "a.png",
        before=f"import sys; sys.path.insert(0, {str(tmp_path)!r})",
    )
    assert result.returncode == 1
    assert result.stderr == f"tpool: --plot {tmp_path / 'a.png'}: broken\n"
    assert json.loads(result.stdout)["points"]
    assert not (tmp_path / "a.png").exists()


@needs_plot
def test_nothing_that_may_switch_the_gil_on_is_imported_before_measuring(tmp_path):
    result = bench(
        *ONE,
        "--json",
        "--plot",
        tmp_path / "a.png",
        before="""
            import sys
            from tpool.cli.bench import sweep
            run = sweep.Sweep.run
            gil = getattr(sys, "_is_gil_enabled", lambda: True)
            before = gil()

            def spy(self):
                run(self)
                loaded = {"hdrh", "matplotlib", "numpy"} & set(sys.modules)
                sys.stderr.write(f"{sorted(loaded)} {gil() == before}")

            sweep.Sweep.run = spy
        """,
    )
    assert (result.returncode, result.stderr) == (0, "[] True")
    told = json.loads(result.stdout)["environment"]["gil"]
    assert told == getattr(sys, "_is_gil_enabled", lambda: True)()


@needs_cli
@pytest.mark.parametrize("options", [[], ["--json"], ["--help"]])
def test_nobody_reads_the_output(options):
    with subprocess.Popen(
        command(*ONE, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.close()
        errors = child.stderr.read()
        assert child.wait(TIMEOUT_S) == 1
    assert errors == b""


@needs_cli
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_a_clear_message(options):
    with open("/dev/full", "wb") as full:
        result = bench(
            *ONE, *options, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert result.returncode == 1
    assert result.stderr == "tpool: No space left on device\n"


@needs_cli
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_on_a_terminal_there_is_a_progress_bar_and_it_is_wiped(terminal, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": "xterm"}
    with terminal.spawn(command("--json", *ONE), env=environment) as child:
        terminal.read_until(None)
        out = child.stdout.read()
        assert child.wait(TIMEOUT_S) == 0
    assert json.loads(out)["points"]
    for case in CASES:
        assert f"round 1 of 1, {case}".encode() in terminal.text
    assert b"Traceback" not in terminal.text
    assert terminal.text.rstrip().endswith(b"\x1b[2K")  # the line is gone
    assert terminal.text.isascii() == (encoding == "ascii")


def test_the_quick_run_is_a_short_one():
    for effort in (sweep.FULL, sweep.QUICK):
        assert effort.rounds * effort.pass_ns > 0
        assert effort.most > 100
    assert sweep.QUICK.rounds * sweep.QUICK.pass_ns < sweep.FULL.pass_ns
