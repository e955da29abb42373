# SPDX-License-Identifier: MIT
"""Which files are read, and what is said of those that are not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import threading

import pytest
from measuring import (
    SMALL_FILES,
    TIMEOUT_S,
    TREE_BYTES,
    TREE_FILES,
    document,
    make_tree,
    measurement,
    run,
)

from tpool import cli
from tpool.cli.measure import measure, peers

# Root reads everything. Without these two capabilities it obeys the mode bits.
WITHOUT_DAC = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if os.geteuid() == 0 and prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def test_without_path_the_standard_library_is_read():
    result = run("measure", "--json", "--rounds", 1)
    assert document(result)["path"] == os.path.realpath(sysconfig.get_path("stdlib"))
    assert document(result)["files"] > 100


def test_a_single_file_is_measured(tree):
    found = document(run("measure", "--json", tree / "with space"))
    assert (found["files"], found["bytes"]) == (1, 3)
    assert [mode["files"] for mode in found["modes"]] == [3, 3, 3]


def test_path_itself_may_be_a_link(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    assert document(run("measure", "--json", tmp_path / "link"))["files"] == TREE_FILES


def test_links_are_not_followed_and_special_files_are_not_read(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tree / "loop").symlink_to(tree)
    (tree / "out file").symlink_to(outside / "secret")
    (tree / "sub" / "out folder").symlink_to(outside)
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(tree, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        result = run("measure", "--json", tree)
    assert (result.returncode, result.stderr) == (0, "")
    found = document(result)
    assert (found["files"], found["bytes"]) == (TREE_FILES, TREE_BYTES)
    assert found["skipped"] == {"symlinks": 4, "special": 2}


def test_an_unreadable_file_and_folder_are_named_and_the_rest_is_measured(tree):
    closed, folder = tree / "closed", tree / "closed folder"
    closed.write_bytes(b"x")
    folder.mkdir()
    (folder / "unseen").write_bytes(b"x")
    closed.chmod(0)
    folder.chmod(0)
    try:
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                WITHOUT_DAC,
                "-m",
                "tpool",
                "measure",
                "--json",
                str(tree),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    finally:
        folder.chmod(0o700)
    if result.returncode == 77:
        pytest.skip("root that may not give up its capabilities reads everything")
    assert result.returncode == 1
    found = document(result)
    named = {problem["path"]: problem["reason"] for problem in found["unreadable"]}
    assert named == dict.fromkeys((str(closed), str(folder)), os.strerror(13))
    assert found["files"] == TREE_FILES
    assert [mode["files"] for mode in found["modes"]] == [3 * TREE_FILES] * 3
    assert f"tpool: {closed}: Permission denied\n" in result.stderr
    assert f"tpool: {folder}: Permission denied\n" in result.stderr
    assert "2 could not be read" in result.stderr


def test_a_file_that_opens_but_does_not_read_is_named():
    if not os.path.exists("/proc/self/mem"):
        pytest.skip("no /proc")
    result = run("measure", "/proc/self/mem")  # offset 0 is never mapped
    assert result.returncode == 1
    assert result.stdout == ""
    assert "mem: Input/output error" in result.stderr
    assert "1 could not be read" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_removed_after_the_first_reading_is_named_once(tree):
    gone = tree / "with space"

    def progress(what, done, total):
        if what.startswith("round 1"):
            gone.unlink(missing_ok=True)

    run_ = measurement(tree, progress, rounds=2)
    run_.run()
    assert run_.unreadable == [(str(gone), os.strerror(2))]
    for mode in run_.results():  # it may have been read once more before
        assert 2 * (TREE_FILES - 1) <= mode.files < 2 * TREE_FILES


def test_a_file_changed_meanwhile_is_named_and_is_no_mismatch(tree):
    changed = tree / "with space"

    def progress(what, done, total):
        if what.startswith("round 1"):
            changed.write_bytes(b"other")

    run_ = measurement(tree, progress)
    run_.run()
    assert run_.changed == [str(changed)]
    assert run_.mismatched == []
    assert run_.unreadable == []


def test_a_file_that_becomes_a_link_is_not_followed(tree, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    victim = tree / "with space"

    def progress(what, done, total):
        if what == "reading once" and not victim.is_symlink():
            victim.unlink()
            victim.symlink_to(secret)

    run_ = measurement(tree, progress)
    run_.run()
    assert [problem.path for problem in run_.unreadable] == [str(victim)]
    assert len(run_.items) == TREE_FILES - 1


def test_a_folder_that_becomes_a_link_is_not_followed(tree, tmp_path):
    """The names exist behind the link too, but they are other files."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(SMALL_FILES):
        (outside / f"{number}").write_bytes(b"secret")

    def progress(what, done, total):
        if what == "reading once" and not (tree / "moved").exists():
            (tree / "sub" / "deep").rename(tree / "moved")
            (tree / "sub" / "deep").symlink_to(outside)

    run_ = measurement(tree, progress)
    run_.run()
    assert len(run_.changed) == SMALL_FILES
    assert len(run_.items) == TREE_FILES - SMALL_FILES


def test_a_folder_replaced_during_the_walk_is_not_entered(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")

    def found(files):
        if not (tree / "moved").exists():  # the root was listed, "sub" comes next
            (tree / "sub").rename(tree / "moved")
            outside.rename(tree / "sub")

    walked = measure.walk(str(tree), found)
    assert [problem.path for problem in walked.unreadable] == [str(tree / "sub")]
    assert len(walked.items) == 2


@pytest.mark.parametrize("broken", [0, TREE_FILES - 1])
def test_different_digests_are_an_error(tree, monkeypatch, capsys, broken):
    """A worker that returns another digest is found, whichever file it is."""
    read, owner = measure.read_file, threading.get_ident()
    victim = measure.walk(str(tree), lambda files: None).items[broken].path

    def wrong(item, stop):
        outcome = read(item, stop)
        if item.path == victim and threading.get_ident() != owner:
            outcome = outcome._replace(digest=b"wrong")
        return outcome

    monkeypatch.setattr(peers, "read_file", wrong)
    assert cli.main(["measure", "--rounds", "1", str(tree)]) == 1
    out, err = capsys.readouterr()
    assert f"tpool: {victim}: DIGESTS DIFFER" in err
    assert "digests: equal" not in out
