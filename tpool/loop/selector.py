# SPDX-License-Identifier: MIT
"""AioSelector: an AioContext as the selector of an asyncio event loop."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from functools import partial
from math import ceil
from typing import TYPE_CHECKING

import tpool._core as _core
from tpool.aio_context import AioContext, default_poll_max_ns
from tpool.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from _typeshed import FileDescriptorLike

__all__ = ["AioSelector"]

# A turn of asyncio takes 10 to 40 us of Python: with a bound as short as a plain
# context's a worker would give up just before the next call.
_POLL_MAX_NS = 65_536
# Longer waits are for ever; the clock's nanoseconds are 64 bits.
_LONGEST_S = 1e9


class AioSelector(selectors._BaseSelectorImpl):
    """A selector that dispatches an AioContext while it waits.

    Args:
        poll_max_ns: Bound of the context's polling time, nanoseconds;
            default: 65536, or what TPOOL_POLL_MAX_NS says.

    Attributes:
        ctx: The context. Its poll phase looks at the registered fds too, so they do
            not turn polling off; where they alone are waited for, and are soon ready,
            there is one for them.
        dispatch_later: Called where ctx._dispatch_rest() is to be called behind all
            that the loop has ready.
        is_later: Whether that is to come; set to False before it is called.
        callbacks: What the loop has ready: none is waited for while there is any, as
            where select() is called twice in a turn, and the first has dispatched it.

    Raises:
        ValueError: poll_max_ns is negative.
        OSError: The system gives no fd.

    Context: Any one thread at a time selects.
    """

    _fd_to_key: dict[int, selectors.SelectorKey]  # of _BaseSelectorImpl

    def __init__(self, poll_max_ns: int | None = None) -> None:
        """Make a context; see the class."""
        super().__init__()
        self._ready: list[tuple[selectors.SelectorKey, int]] = []
        self._changed = False  # since select() was called
        self.dispatch_later: Callable[[], object]
        self.is_later = False
        self.callbacks: Collection[object] = ()
        self._thread_id: int | None = None
        self._open(poll_max_ns)
        _selectors.add(self)

    def _open(self, poll_max_ns: int | None) -> None:
        if poll_max_ns is None:
            poll_max_ns = default_poll_max_ns(_POLL_MAX_NS)
        self.ctx = AioContext(poll_max_ns)
        self.ctx._interleave()
        self._poll_for = self.ctx._poll_for  # found once: select() is hot
        self.post = self.ctx._post
        self.belong_to(self._thread_id)

    def belong_to(self, thread_id: int | None) -> None:
        """Have the context belong to the thread that runs an event loop on it.

        Args:
            thread_id: That thread; None: nobody, and whoever selects owns it then.

        Raises:
            RuntimeError: Another thread selects.
        """
        self._thread_id = thread_id
        if thread_id is None:
            self.ctx._disown()
        elif thread_id == threading.get_ident():
            self.ctx._own()

    def _after_fork(self) -> None:
        """Begin anew in the child, as the parent's fds are not for it to change."""
        if self.get_map() is None:
            return  # closed
        self._open(self.ctx.poll_max_ns)
        for key in self.get_map().values():
            with contextlib.suppress(OSError):  # closed meanwhile
                self._watch(key)

    def _callbacks(
        self, key: selectors.SelectorKey
    ) -> tuple[partial[None] | None, partial[None] | None]:
        """Return what puts key on the list of what is ready: to read, to write."""
        found = self._ready.append
        return (
            partial(found, (key, selectors.EVENT_READ))
            if key.events & selectors.EVENT_READ
            else None,
            partial(found, (key, selectors.EVENT_WRITE))
            if key.events & selectors.EVENT_WRITE
            else None,
        )

    def _watch(self, key: selectors.SelectorKey) -> None:
        self.ctx._watch_fd(key.fd, *self._callbacks(key))

    def _forget(self, key: selectors.SelectorKey) -> None:
        """Have no key of an fd; nothing is reported that is not in the map."""
        self._changed = True
        try:
            with contextlib.suppress(OSError):  # it was closed
                self.ctx._watch_fd(key.fd, None, None)
        finally:
            self._fd_to_key.pop(key.fd, None)

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Register a file object, as selectors.BaseSelector.register()."""
        key: selectors.SelectorKey = super().register(fileobj, events, data)
        try:
            self._watch(key)
        except BaseException:
            self._forget(key)
            raise
        return key

    def _registered(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        try:
            return self._fd_to_key[self._fileobj_lookup(fileobj)]  # type: ignore[attr-defined]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Forget a file object, as selectors.BaseSelector.unregister()."""
        key = self._registered(fileobj)
        self._forget(key)
        return key

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: object = None
    ) -> selectors.SelectorKey:
        """Change events or data, as that of selectors.EpollSelector.

        No events, for which register() refuses a file object, are taken: it stays
        registered. What the system refuses is forgotten.
        """
        before = self._registered(fileobj)
        if events == before.events and data == before.data:
            return before
        key = before._replace(events=events, data=data)
        callbacks = self._callbacks(key)
        self._changed = True
        try:
            self.ctx._watch_fd(key.fd, *callbacks)
            self._fd_to_key[key.fd] = key
        except BaseException:
            self._forget(key)
            raise
        return key

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Turn the context once, and return the file objects that are ready.

        Args:
            timeout: Seconds to wait at most; None: for ever, 0 or less: none.

        Returns:
            Pairs of key and event.
        """
        ready = self._ready
        if ready:
            ready.clear()
        self._changed = False
        if self.callbacks:
            behind = self._poll_for(0)
        elif timeout is None or timeout > _LONGEST_S:
            behind = self._poll_for(-1)
        elif timeout > 0:
            behind = self._poll_for(ceil(timeout * 1e9))  # a timer is never early
        else:
            behind = self._poll_for(0)
        if behind and not self.is_later:
            self.dispatch_later()
            self.is_later = True  # after it: an exception may come in between
        if self._changed:  # by a callback of the context: some keys are no more
            now = self._fd_to_key  # by number: a file object may be closed
            return [found for found in ready if now.get(found[0].fd) is found[0]]
        return ready.copy() if ready else []  # the next call fills it anew

    def close(self) -> None:
        """Let go of all fds; calls that still run end for nobody."""
        super().close()
        try:
            _core.AioContext.close(self.ctx)
        except BaseException:  # of callbacks and signal handlers: each has its turn
            if not self.ctx._polled:
                self.close()
            raise


_selectors: Registry[AioSelector] = Registry()


def _after_fork_in_child() -> None:
    for selector in _selectors:
        selector._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
