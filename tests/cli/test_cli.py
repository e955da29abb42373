# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import threading
from pathlib import Path

import pytest
from conftest import run_code

from tpool import cli
from tpool.cli.measure import measure, peers
from tpool.cli.measure import tree as tree_module

TIMEOUT_S = 120
MODES = ["tpool, polling off", "tpool, polling on", "concurrent.futures"]
SMALL_FILES = 70  # more than there are in flight

# Root reads everything. Without these two capabilities it obeys the mode bits.
WITHOUT_DAC = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if os.geteuid() == 0 and prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit(77)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tpool", *map(str, arguments)]


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "capture_output": True} | options
    return subprocess.run(
        command(*arguments), text=True, timeout=TIMEOUT_S, check=False, **options
    )


def document(result: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(result.stdout)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "with space").write_bytes(b"abc")
    (root / "sub" / "big").write_bytes(bytes(range(256)) * 12 * 1024)  # 3 MiB
    for number in range(SMALL_FILES):
        (root / "sub" / "deep" / f"{number}").write_bytes(b"x" * number)
    return root


TREE_FILES = SMALL_FILES + 3
TREE_BYTES = 3 + 3 * 1024 * 1024 + sum(range(SMALL_FILES))


@pytest.fixture
def measurement(tree):
    """A measurement in this process, told what to do by its progress function."""

    def make(progress=None, rounds=1):
        return measure.Measurement(
            str(tree), rounds=rounds, threads=2, progress=progress
        )

    return make


def test_json_counts_every_file_in_every_round_of_every_mode(tree):
    result = run("measure", "--json", "--rounds", 2, tree)
    assert (result.returncode, result.stderr) == (0, "")
    found = document(result)
    assert found["files"] == TREE_FILES
    assert found["bytes"] == TREE_BYTES
    assert found["digests_agree"] is True
    assert found["interrupted"] is False
    assert found["unreadable"] == found["changed"] == found["mismatched"] == []
    assert [mode["name"] for mode in found["modes"]] == MODES
    for mode in found["modes"]:
        assert mode["rounds"] == 2
        assert mode["files"] == 2 * TREE_FILES
        assert mode["files_per_s"] > 0
        assert 0 < mode["latency_p50_us"] <= mode["latency_p99_us"]
        for shares in filter(None, (mode["owner"], mode["workers"])):
            assert sum(shares.values()) == pytest.approx(1)
            assert min(shares.values()) >= 0


def test_polling_off_never_polls_neither_owner_nor_worker(tree):
    off = document(run("measure", "--json", tree))["modes"][0]
    assert off["owner"]["polled"] == 0
    assert off["workers"]["polled"] == 0


def test_polling_on_is_not_switched_off_by_the_environment(measurement, monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "0")
    given = []
    context = peers.AioContext

    def spy(**options):
        given.append(options)
        return context(**options)

    monkeypatch.setattr(peers, "AioContext", spy)
    measurement().run()
    assert [options["poll_max_ns"] > 0 for options in given] == [False, True]


def test_table_has_a_row_for_each_mode_and_no_control_characters(tree):
    result = run("measure", "--rounds", 1, "--threads", 2, tree)
    assert (result.returncode, result.stderr) == (0, "")
    for name in MODES:
        assert any(line.startswith(name) for line in result.stdout.splitlines())
    assert f"{TREE_FILES} files" in result.stdout
    assert "digests: equal" in result.stdout
    assert result.stdout.replace("\n", "").isprintable()


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


def test_without_a_standard_error_a_usage_error_is_not_in_the_output():
    result = subprocess.run(
        ["sh", "-c", '"$0" -m tpool measure --foo 2>&-', sys.executable],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, b"")


def test_a_file_removed_after_the_first_reading_is_named_once(measurement, tree):
    gone = tree / "with space"

    def progress(what, done, total):
        if what.startswith("round 1"):
            gone.unlink(missing_ok=True)

    run_ = measurement(progress, rounds=2)
    run_.run()
    assert run_.unreadable == [(str(gone), os.strerror(2))]
    for mode in run_.results():  # it may have been read once more before
        assert 2 * (TREE_FILES - 1) <= mode.files < 2 * TREE_FILES


def test_a_file_changed_meanwhile_is_named_and_is_no_mismatch(measurement, tree):
    changed = tree / "with space"

    def progress(what, done, total):
        if what.startswith("round 1"):
            changed.write_bytes(b"other")

    run_ = measurement(progress)
    run_.run()
    assert run_.changed == [str(changed)]
    assert run_.mismatched == []
    assert run_.unreadable == []


def test_a_file_that_becomes_a_link_is_not_followed(measurement, tree, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    victim = tree / "with space"

    def progress(what, done, total):
        if what == "reading once" and not victim.is_symlink():
            victim.unlink()
            victim.symlink_to(secret)

    run_ = measurement(progress)
    run_.run()
    assert [problem.path for problem in run_.unreadable] == [str(victim)]
    assert len(run_.items) == TREE_FILES - 1


def test_a_folder_that_becomes_a_link_is_not_followed(measurement, tree, tmp_path):
    """The names exist behind the link too, but they are other files."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(SMALL_FILES):
        (outside / f"{number}").write_bytes(b"secret")

    def progress(what, done, total):
        if what == "reading once" and not (tree / "moved").exists():
            (tree / "sub" / "deep").rename(tree / "moved")
            (tree / "sub" / "deep").symlink_to(outside)

    run_ = measurement(progress)
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


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_prints_what_was_measured_and_exits_130(tree, terminal, mode, options):
    with terminal.spawn(command("measure", "--rounds", 10**9, *options, tree)) as child:
        # The third round: so at least two of each are complete.
        terminal.read_until(f"round 3 of 1000000000, {mode}".encode())
        child.send_signal(signal.SIGINT)
        out = child.stdout.read().decode()
        assert child.wait(TIMEOUT_S) == 130
        terminal.read_until(None)
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
def test_an_interrupt_in_a_pass_keeps_what_it_measured(measurement, mode):
    seen = []
    labels = []

    def progress(what, done, total):
        if what.startswith("round"):
            labels.append(what)
        if what == f"round 1 of 5, {mode}" and done:
            seen.append(done)
            raise KeyboardInterrupt

    run_ = measurement(progress, rounds=5)
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


def test_each_round_begins_with_another_mode(measurement):
    order = []

    def progress(what, done, total):
        if what.startswith("round") and what not in order:
            order.append(what)

    measurement(progress, rounds=3).run()
    assert order == [
        f"round {number + 1} of 3, {MODES[(number + step) % 3]}"
        for number in range(3)
        for step in range(3)
    ]


def test_no_more_than_the_bound_is_in_flight(measurement, monkeypatch):
    flying = []
    highest = dict.fromkeys(MODES, 0)

    def watch(kind):
        submit, next_done = kind.submit, kind.next_done

        def counted_submit(self, position, item):
            flying.append(position)
            highest[self.name] = max(highest[self.name], len(flying))
            submit(self, position, item)

        def counted_done(self):
            done = next_done(self)
            flying.remove(done.position)
            return done

        monkeypatch.setattr(kind, "submit", counted_submit)
        monkeypatch.setattr(kind, "next_done", counted_done)

    watch(measure.TpoolPeer)
    watch(measure.FuturesPeer)
    measurement().run()
    assert highest == dict.fromkeys(MODES, 64)
    assert flying == []


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 10), (50, 20), (51, 30), (99, 40), (100, 40)]
)
def test_percentiles_are_of_nearest_rank(percent, expected):
    assert measure.percentile([10, 20, 30, 40], percent) == expected


def test_an_interrupted_pass_does_not_spoil_the_median():
    half = measure.Pass([5], wall_ns=10**9)
    whole = measure.Pass([1, 2], wall_ns=10**9, complete=True)
    assert measure._summary("x", [whole, half]).files_per_s == 2
    assert measure._summary("x", [half]).files_per_s == 1
    assert measure._summary("x", []).files_per_s is None
