# SPDX-License-Identifier: MIT
"""Event loops as peers of the main job: tpool measure --loop."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading

import pytest

from tpool import cli
from tpool.cli.measure import measure, peers

pytestmark = pytest.mark.timeout(120)
FILES = 100  # more than there are in flight
INSTALLED = [
    name for name in peers.LOOPS if name == "tpool" or importlib.util.find_spec(name)
]


@pytest.fixture
def tree(tmp_path):
    for number in range(FILES):
        (tmp_path / f"{number}").write_bytes(b"x" * number)
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def once():
    """uvloop keeps a pipe for signals from its first loop to the end."""
    if "uvloop" in INSTALLED:
        import uvloop

        uvloop.new_event_loop().close()


def run(capsys, *arguments):
    status = cli.main(["measure", "--json", *map(str, arguments)])
    return status, json.loads(capsys.readouterr().out)


def test_each_loop_that_is_named_reads_every_file_in_every_round(tree, capsys):
    options = [word for name in INSTALLED for word in ("--loop", name)]
    status, found = run(capsys, "--rounds", 2, *options, tree)
    assert status == 0
    assert found["digests_agree"] is True
    assert [mode["name"] for mode in found["modes"]] == INSTALLED
    for mode in found["modes"]:
        assert (mode["rounds"], mode["files"]) == (2, 2 * FILES)
        assert (mode["owner"] is None) == (mode["name"] != "tpool")


def test_a_loop_that_is_named_twice_is_measured_once(tree, capsys):
    _, found = run(capsys, "--rounds", 1, "--loop", "tpool", "--loop", "tpool", tree)
    assert [mode["name"] for mode in found["modes"]] == ["tpool"]


@pytest.mark.parametrize("name", INSTALLED)
def test_no_more_threads_than_were_asked_for(tree, capsys, name, monkeypatch):
    threads = set()
    read = peers.read_file

    def spy(*arguments):
        threads.add(threading.get_ident())
        return read(*arguments)

    monkeypatch.setattr(peers, "read_file", spy)
    run(capsys, "--rounds", 1, "--threads", 2, "--loop", name, tree)
    assert 1 <= len(threads) <= 2


@pytest.mark.parametrize("name", INSTALLED)
def test_files_that_cannot_be_read_are_named(tree, capsys, name, monkeypatch):
    read, owner = peers.read_file, threading.get_ident()

    def fail(item, interrupt):
        if item.path.endswith("/7") and threading.get_ident() != owner:
            raise PermissionError(13, "no")
        return read(item, interrupt)

    monkeypatch.setattr(peers, "read_file", fail)
    status, found = run(capsys, "--rounds", 1, "--loop", name, tree)
    assert status == 1
    assert [
        (os.path.basename(p["path"]), p["reason"]) for p in found["unreadable"]
    ] == [("7", "no")]


@pytest.mark.parametrize("name", INSTALLED)
def test_ctrl_c_keeps_what_was_measured_and_leaves_no_thread(
    tree, capsys, name, monkeypatch
):
    take, seen = measure.Measurement._take, threading.Event()

    def spy(self, done, latencies_ns):
        take(self, done, latencies_ns)
        if len(self._passes[name]) == 3:
            seen.set()

    def interrupt():
        assert seen.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(measure.Measurement, "_take", spy)
    thread = threading.Thread(target=interrupt)
    thread.start()
    status, found = run(capsys, "--rounds", 10**9, "--loop", name, tree)
    thread.join()
    assert status == 130
    assert found["interrupted"] is True
    assert found["modes"][0]["rounds"] >= 2
    assert threading.active_count() == 1


def test_a_loop_that_is_not_known_is_refused(tree, capsys):
    assert cli.main(["measure", "--loop", "twisted", str(tree)]) == 2
    assert "'twisted'" in capsys.readouterr().err


def test_a_loop_that_is_not_installed_is_named(tree, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["measure", "--loop", "uvloop", str(tree)]) == 2
    assert capsys.readouterr().err == "tpool: --loop uvloop: uvloop is not installed\n"
