# SPDX-License-Identifier: MIT
"""The command line of `tpool measure`: its arguments, its output, its status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import run_code
from measuring import MODES, TIMEOUT_S, TREE_FILES, command, document, make_tree, run

from tpool import cli


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def test_table_has_a_row_for_each_mode_and_no_control_characters(tree):
    result = run("measure", "--rounds", 1, "--threads", 2, tree)
    assert (result.returncode, result.stderr) == (0, "")
    for name in MODES:
        assert any(line.startswith(name) for line in result.stdout.splitlines())
    assert f"{TREE_FILES} files" in result.stdout
    assert "digests: equal" in result.stdout
    assert result.stdout.replace("\n", "").isprintable()


def test_without_a_standard_error_a_usage_error_is_not_in_the_output():
    result = subprocess.run(
        ["sh", "-c", '"$0" -m tpool measure --foo 2>&-', sys.executable],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("path", "message"),
    [("missing", "No such file"), ("", "the path is empty"), ("fifo", "neither a")],
)
def test_a_wrong_path_is_a_clear_message_and_status_2(tmp_path, path, message):
    os.mkfifo(tmp_path / "fifo")
    result = run("measure", path, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_empty_folder_is_a_clear_message(tmp_path, options):
    result = run("measure", *options, tmp_path)
    assert result.returncode == 1
    assert result.stderr == f"tpool: {tmp_path}: no regular file to read\n"
    if options:
        assert document(result)["files"] == 0
    else:
        assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["measure", "--rounds", "0"],
        ["measure", "--rounds", "x"],
        ["measure", "--threads", "-1"],
        ["measure", "--threads", "2147483648"],
        ["measure", "a", "b"],
    ],
)
def test_wrong_arguments_are_status_2(arguments):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: tpool")


def test_help_tells_the_options_and_the_exit_status():
    result = run("measure", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for word in ("PATH", "--rounds", "--threads", "--json", "exit status", "130"):
        assert word in result.stdout


def test_the_installed_command_is_the_module(capsys):
    program = Path(sysconfig.get_path("scripts")) / "tpool"
    result = subprocess.run(
        [program, "--version"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert cli.main(["--version"]) == 0
    assert result.stdout == capsys.readouterr().out
    assert result.stdout.startswith("tpool ")


def test_the_cli_imports_psutil_only_to_measure():
    code = "import sys, tpool.cli; sys.exit('psutil' in sys.modules)"
    run_code(code)


@pytest.mark.parametrize("options", [["measure", "--json"], ["measure", "--help"]])
def test_nobody_reads_the_output(tree, options):
    """The read end is closed before the child writes: as `| head -c0` does."""
    with subprocess.Popen(
        command(*options, tree), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.close()
        errors = child.stderr.read()
        assert child.wait(TIMEOUT_S) == 1
    assert errors == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("options", [["measure", "--json"], ["measure", "--help"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_a_clear_message(tree, options, unbuffered):
    with open("/dev/full", "wb") as full:
        result = run(
            *options,
            tree,
            stdout=full,
            capture_output=False,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert result.returncode == 1
    assert result.stderr == "tpool: No space left on device\n"


@pytest.mark.parametrize(
    ("name", "printed"), [("h\u00e4user", "h\\xe4user: "), ("a\nb", "a\\nb': ")]
)
def test_names_that_the_output_cannot_hold_are_escaped(tmp_path, name, printed):
    root = tmp_path / name
    root.mkdir()
    with open(os.fsencode(root) + b"/\xff\x1b[31m", "wb"):
        pass
    result = run("measure", root, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert printed in result.stdout


def test_on_a_terminal_there_is_progress_and_it_is_wiped_at_the_end(tree, terminal):
    with terminal.spawn(command("measure", "--json", tree)) as child:
        terminal.read_until(None)
        out = child.stdout.read()
        assert child.wait(TIMEOUT_S) == 0
    assert json.loads(out)["files"] == TREE_FILES
    for what in ("walking", "reading once", *MODES):
        assert what.encode() in terminal.text
    assert terminal.text.endswith(b"\r\x1b[K")
