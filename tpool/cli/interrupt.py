# SPDX-License-Identifier: MIT
"""Ctrl-C in the commands that measure."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Interrupt"]


class Interrupt:
    """Ctrl-C, held back while it would do harm.

    A KeyboardInterrupt that comes up while the stock executor holds the lock of
    a future leaves it locked: the worker that has the result waits for ever, and
    so does the shutdown. So it is raised only where `may_raise` is true.

    Context:
        Owner, but `stop`, which the workers read too; a stale value costs one
        more chunk. No lock: the handler may interrupt anything.
    """

    __slots__ = ("asked", "may_raise", "stop")

    def __init__(self) -> None:
        self.asked = False
        self.may_raise = True
        self.stop = False

    def handler(self, _signal: int, _frame: object) -> None:
        """Take a SIGINT; the second one insists."""
        insists = self.asked
        self.asked = self.stop = True
        if self.may_raise or insists:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Have SIGINT come here inside."""
        before = signal.getsignal(signal.SIGINT)
        try:
            if before is signal.default_int_handler:  # else a shell said to ignore it
                signal.signal(signal.SIGINT, self.handler)
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def give_up(self) -> None:
        """Let the workers stop, and raise no more: the pools are shut down."""
        self.stop, self.may_raise = True, False

    def check(self) -> None:
        """Raise what was held back.

        Raises:
            KeyboardInterrupt: A SIGINT came before.
        """
        if self.asked:
            raise KeyboardInterrupt
