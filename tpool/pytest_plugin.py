# SPDX-License-Identifier: MIT
"""A pytest fixture to bound the CPU that a test may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tpool.meter import CpuMeter

__all__ = ["cpu_meter"]


@pytest.fixture
def cpu_meter() -> type[CpuMeter]:
    """Give the class CpuMeter, to be used as a context manager.

    After it, `usage` of the meter has the CPU seconds. Called with an AioContext
    it tells owner and workers apart.
    """
    from tpool.meter import CpuMeter  # psutil only where the fixture is used

    return CpuMeter
