# SPDX-License-Identifier: MIT
"""docs/benchmarks.md, as it is made from the benchmarks' JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import _harness
import _page
import pytest

WHERE = {
    "implementation": "CPython",
    "python": "3.13.0",
    "gil": False,
    "cpus": 2,
    "machine": "x86_64",
    "kernel": "Linux 6.18.1-special",
    "tpool": "0.1.0",
}


def document(bench, *, question="How fast?", rows=None, **more):
    row = {"case": "no-op", "peer": "tpool", "n": 1000, "p50_us": 1.4, "p99_us": None}
    return {
        "bench": bench,
        "question": question,
        "command": f"python bench/{bench}.py",
        "date": "2026-11-27",
        "environment": WHERE,
        "quick": False,
        "rounds": 21,
        "rows": rows or [row],
        "notes": [],
        **more,
    }


def page(tmp_path, *documents):
    for number, one in enumerate(documents):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    return _page.page(_page.documents(tmp_path))


def test_a_run_has_its_command_machine_date_table_and_notes(tmp_path):
    said = page(tmp_path, document("mine", notes=["worth a note"]))
    assert said.startswith(_page.INTRO)
    assert said[len(_page.INTRO) :] == (
        "\n## How fast?\n"
        "\n`python bench/mine.py`, 21 rounds, on 2026-11-27: CPython 3.13.0 without "
        "the GIL, 2 CPUs (x86_64), Linux 6.18.1, tpool 0.1.0.\n"
        "\n"
        "| case | peer | n | p50, us |\n"
        "| --- | --- | ---: | ---: |\n"
        "| no-op | tpool | 1,000 | 1.40 |\n"
        "\n- worth a note\n"
    )


def test_a_benchmark_of_ours_says_what_it_asks_and_comes_in_its_order(tmp_path):
    said = page(
        tmp_path,
        document("unknown", question="Last?"),
        document("gap_table", question="Second?"),
        document("round_trip", question="First?"),
        document("round_trip", question="First?"),
    )
    order = ["## First?", "How long does one no-op take", "## Second?", "## Last?"]
    assert sorted(order, key=said.index) == order
    assert said.count("## First?") == 1
    assert said.count("`python bench/round_trip.py`") == 2


def test_a_quick_run_is_said_to_be_one(tmp_path):
    said = page(tmp_path, document("mine", quick=True, rounds=1))
    assert "1 round, " in said
    assert "A quick run" in said


def test_a_table_of_many_cases_is_summed_up(tmp_path):
    rows = [
        {
            "case": f"{where}: {n}",
            "peer": peer,
            "mean_us": n * scale,
            "cpu_us_per_op": n,
        }
        for where, scale in (("here", 1), ("there", 2))
        for n in range(20)
        for peer in ("ours", "theirs")
    ]
    said = page(tmp_path, document("mine", rows=rows))
    assert "Means over 20 cases each." in said
    assert "| here | ours | 9.50 | 9.50 |\n" in said
    assert "| there | theirs | 19.00 | 9.50 |\n" in said
    assert said.count("| here |") == 2


def test_every_benchmark_has_its_place():
    ours = {path.stem for path in _page.BENCH.glob("[a-z]*.py")}
    assert set(_page.ORDER) == ours


@pytest.mark.parametrize(
    "arguments",
    [
        ["--n", "5", "--json", "x/y.json"],
        ["--json=x/y.json", "--n", "5"],
    ],
)
def test_the_command_is_told_without_its_json(arguments):
    assert _harness.command("a/b/mine.py", arguments) == "python bench/mine.py --n 5"


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(document("x", rows=[1]))])
def test_a_file_that_is_no_benchmark_s_is_named(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match=r"other\.json is no benchmark's"):
        _page.documents(tmp_path)


def test_the_script_writes_the_page_or_says_why_not(tmp_path):
    def run():
        command = [sys.executable, _page.__file__, tmp_path, "--output", tmp_path / "p"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    said = run()
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"_page.py: no JSON files in {tmp_path}\n"
    expected = page(tmp_path, document("round_trip"))
    assert run().returncode == 0
    assert (tmp_path / "p").read_text() == expected
