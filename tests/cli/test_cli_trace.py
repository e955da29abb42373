# SPDX-License-Identifier: MIT
"""`tpool measure --trace FILE`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tpool import cli

pytestmark = pytest.mark.timeout(120)


def test_trace_of_a_measurement_is_written(tmp_path, capsys):
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / str(number)).write_bytes(b"x" * number)
    path = tmp_path / "trace.json"
    options = ["--rounds", "1", "--trace", str(path)]
    assert cli.main(["measure", *options, str(tree)]) == 0
    document = json.loads(path.read_text())
    calls = [e for e in document["traceEvents"] if e.get("name") == "call"]
    assert len(calls) == 2 * 20  # polling off and on; the stock pool has no events
    assert document["otherData"]["lost"] == 0


def test_trace_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / "nowhere" / "trace.json"
    assert cli.main(["measure", "--trace", str(path), str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == f"tpool: --trace {path}: No such file or directory\n"


def test_trace_that_cannot_be_written_loses_no_measurement(tmp_path, capsys):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    (tmp_path / "file").write_bytes(b"abc")
    arguments = ["measure", "--rounds", "1", "--trace", str(full), str(tmp_path)]
    assert cli.main(arguments) == 1
    said = capsys.readouterr()
    assert "--trace /dev/full" in said.err
    assert "concurrent.futures" in said.out


def test_trace_is_not_written_over_what_is_measured(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert cli.main(["measure", "--trace", str(file), str(file)]) == 2
    assert "is what is to be measured" in capsys.readouterr().err
    assert file.read_bytes() == b"abc"
