# SPDX-License-Identifier: MIT
"""`tpool info`: what it says of the machine and of the tuning."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from conftest import run_code

from tpool import _core, cli
from tpool.cli import info

pytestmark = pytest.mark.timeout(120)
FACTS = info.Facts(
    python="CPython 3.13.0",
    gil=True,
    switch_interval_ns=5_000_000,
    cpus=8,
    cpus_usable=4,
    poll_max_ns=32_768,
    owner_wake_ns=20_000,
    worker_wake_ns=10_000,
    blocking_hop_ns=60_000,
    polling_hop_ns=1_000,
    polled_file_ns=90_000,
    blocked_file_ns=150_000,
)


def test_json_holds_the_facts_of_this_machine(capsys):
    assert cli.main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {field.name for field in dataclasses.fields(info.Facts)}
    assert found["cpus_usable"] == _core.cpus_usable() >= 1
    assert found["cpus"] == os.cpu_count()
    assert found["owner_wake_ns"] > 0
    assert found["blocking_hop_ns"] > 0


def test_text_says_what_the_tuner_will_do():
    assert "at least 20.0 us" in info.text(FACTS)
    assert "4 usable of 8" in info.text(FACTS)
    assert "90.0 us and\n150.0 us: polling pays" in info.text(FACTS)
    assert "the time counts twice" in info.text(FACTS)
    unknown = dataclasses.replace(FACTS, polled_file_ns=None)
    assert "in turn" not in info.text(unknown)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"poll_max_ns": 0, "polling_hop_ns": None}, "poll_max_ns is 0"),
        ({"cpus_usable": 1, "polling_hop_ns": None}, "one CPU is usable"),
        ({"polling_hop_ns": None}, "always on one CPU"),
        ({"polled_file_ns": 160_000}, "160.0 us and\n150.0 us: polling costs more"),
        ({"owner_wake_ns": 50_000}, "poll_max_ns to 50000 or more"),
    ],
)
def test_text_says_why_it_will_not(change, said):
    assert said in info.text(dataclasses.replace(FACTS, **change))


def test_where_polling_is_off_nobody_polls(monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "0")
    facts = info.gather()
    assert facts.poll_max_ns == 0
    assert facts.polling_hop_ns is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity")
def test_on_one_cpu_nobody_polls():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from tpool import cli; cli.main(['info'])"
    )
    said = run_code(code)
    assert "1 usable of" in said.stdout
    assert "one CPU is usable" in said.stdout


@pytest.mark.parametrize("text", ["many", "", "-1", "9" * 30])
def test_environment_variable_of_no_use_is_named(monkeypatch, capsys, text):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", text)
    assert cli.main(["info"]) == 2
    said = capsys.readouterr().err
    assert "TPOOL_POLL_MAX_NS" in said
    assert repr(text) in said
