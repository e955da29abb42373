# SPDX-License-Identifier: MIT
"""Turns of a loop, one by one; for tests that say what is true of each kind of it."""

from __future__ import annotations

import asyncio

import tpool

# asyncio's first.
KINDS = [asyncio.SelectorEventLoop, tpool.EventLoop]


def turn(loop):
    """Run what is ready now, and no more."""
    loop.stop()
    loop.run_forever()


def within(loop, function):
    """Return what function() returns in a turn of the loop."""
    log = []
    loop.call_soon(lambda: log.append(function()))
    turn(loop)
    return log[0]
