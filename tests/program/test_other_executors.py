# SPDX-License-Identifier: MIT
"""Other executors, each in a process of its own: they leave threads and processes."""

from __future__ import annotations

import importlib.util

import pytest
from conftest import cases_of

pytestmark = pytest.mark.timeout(120)
CASES = [case for case in cases_of("other_executors.py") if case != "processes"]


@pytest.mark.parametrize("case", CASES)
def test_calls_of_an_executor_of_the_standard_library_arrive(isolated, case):
    isolated("other_executors.py", case)


def test_calls_of_a_dask_cluster_arrive_also_where_a_worker_is_killed(isolated):
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("distributed is not installed: pip install '.[dask]'")
    isolated("dask_cluster.py", "cluster")


def test_dask_s_local_threads_may_be_those_of_an_executor(isolated):
    if importlib.util.find_spec("dask") is None:
        pytest.skip("dask is not installed: pip install '.[dask]'")
    isolated("dask_threads.py", "graph")
