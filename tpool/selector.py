# SPDX-License-Identifier: MIT
"""AioSelector, for programs that import it from where it was before `tpool.loop`."""

from __future__ import annotations

from tpool.loop.selector import AioSelector

__all__ = ["AioSelector"]
