# SPDX-License-Identifier: MIT
"""Write docs/benchmarks.md from the JSON files that the benchmarks have written.

mkdir figures
for name in bench/[a-z]*.py; do
    python "$name" --json "figures/$(basename "$name" .py).json"
done
python bench/_page.py figures
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _harness as h

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Document = dict[str, Any]  # as _harness.report() writes it

BENCH = Path(__file__).parent
PAGE = BENCH.parent / "docs" / "benchmarks.md"
MOST_ROWS = 64  # a table of more is summed up
# In this order; what is not here comes behind.
ORDER = [
    *("round_trip", "throughput", "executor", "loop_hops", "loop_workloads", "nearby"),
    *("real_calls", "long_calls", "queues", "files", "ring"),
    *("gap_table", "contended", "idle", "million", "many_fds", "tracing"),
    *("meter_error", "tuner_traces"),
]
HEADINGS = {
    "p50_us": "p50, us",
    "p99_us": "p99, us",
    "mean_us": "mean, us",
    "ops_per_s": "a second",
    "cpu_us_per_op": "CPU, us",
    "cpu_us": "CPU, us",
    "ratio_p50": "ratio p50",
    "ratio_p99": "p99",
    "ratio_mean": "mean",
    "ratio_cpu": "CPU",
    "on_per_s": "on, a second",
    "off_per_s": "off",
    "stock_per_s": "stock",
    "one_cpu_per_s": "stock, one CPU",
    "no_thread_per_s": "no thread",
    "ratio_off": "on / off",
    "ratio_stock": "on / stock",
    "ratio_again": "off / off",
    "on_cpu_us": "CPU, us: on",
    "off_cpu_us": "off",
    "stock_cpu_us": "stock",
}
INTRO = """\
# Benchmarks

Each table is one run of one benchmark of the folder `bench/`, written to this page by
`bench/_page.py` from the JSON file of that run. Times are in microseconds; CPU is that of the
whole process for an operation. The peers of a table ran in alternating rounds, everybody as
often behind each of the others, and the figures are medians over the rounds. A ratio says how
many times less than the baseline of its case, which is the row where all ratios are 1 (of
operations a second: how many times more); above 1 is better.

Compare figures of one table only: the speed of a virtual machine changes by two from hour to
hour, and so does what a wake-up costs.
"""


def documents(folder: Path) -> list[Document]:
    """Read the JSON files of a folder.

    Raises:
        ValueError: There is none, or one is none of a benchmark's; it is named.
        OSError: One cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            found.append({**document, "text": "\n".join(section(document))})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} is no benchmark's: {problem}") from error
    if not found:
        raise ValueError(f"no JSON files in {folder}")
    return sorted(found, key=place)


def place(document: Document) -> int:
    """Return where its section stands on the page."""
    name = document["bench"]
    return ORDER.index(name) if name in ORDER else len(ORDER)


def page(found: Iterable[Document]) -> str:
    """Return the page; runs of the same benchmark share a heading."""
    parts, last = [INTRO], None
    for document in found:
        if document["bench"] != last:
            last = document["bench"]
            parts += [f"## {document['question']}\n", *purpose(last)]
        parts.append(document["text"])
    return "\n".join(parts)


def purpose(name: str) -> Iterator[str]:
    """Say what the benchmark asks: its docstring."""
    path = BENCH / f"{name}.py"
    doc = path.exists() and ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if doc:
        yield f"{doc}\n"


def section(document: Document) -> Iterator[str]:
    """Yield the lines of one run: command, machine, date, table, notes."""
    where = document["environment"]
    gil = "" if where["gil"] else " without the GIL"
    rounds = document["rounds"]
    yield (
        f"`{document['command']}`, {rounds} round{'s' * (rounds != 1)}, on "
        f"{document['date']}: {where['implementation']} {where['python']}{gil}, "
        f"{where['cpus']} CPUs ({where['machine']}), {where['kernel'].partition('-')[0]}, "
        f"tpool {where['tpool']}."
    )
    if document["quick"]:
        yield "**A quick run, which shows that it works, and not how fast.**"
    rows = document["rows"]
    if len(rows) > MOST_ROWS:
        cases = len({row["case"] for row in rows})
        rows = summed_up(rows)
        yield f"Means over {cases // len({row['case'] for row in rows})} cases each."
    yield ""
    yield from table(rows)
    yield ""
    for note in document["notes"]:
        yield f"- {note}"
    if document["notes"]:
        yield ""


def summed_up(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over the cases that have the same name before the colon."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        key = row["case"].partition(":")[0], row["peer"]
        groups.setdefault(key, []).append(row)
    return [
        {
            "case": case,
            "peer": peer,
            **{
                name: statistics.fmean(row[name] for row in group)
                for name in ("mean_us", "cpu_us_per_op")
            },
        }
        for (case, peer), group in groups.items()
    ]


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table; columns that are empty throughout are left out."""
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    heads = [HEADINGS.get(name, name.replace("_", " ")) for name in names]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---', '---', *['---:'] * (len(names) - 2)])} |"
    for row in rows:
        yield f"| {' | '.join(h.text(row[name]) for name in names)} |"


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folder", type=Path, help="where the JSON files are")
    made.add_argument(
        "--output", type=Path, default=PAGE, metavar="FILE", help="default: that page"
    )
    options = made.parse_args()
    try:
        options.output.write_text(page(documents(options.folder)), encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
