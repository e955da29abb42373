# SPDX-License-Identifier: MIT
"""The command `tpool`."""

from __future__ import annotations

from tpool.cli.command_line import main

__all__ = ["main"]
