# SPDX-License-Identifier: MIT
"""The files that the main job reads: walked without following links, then hashed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tpool.cli.interrupt import Interrupt

__all__ = [
    "Item",
    "Outcome",
    "Problem",
    "ReplacedError",
    "StopError",
    "Tree",
    "read_file",
    "reason",
    "walk",
]

_CHUNK = 1 << 20  # bytes: how often a worker looks whether it shall stop
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_DIR = _OPEN_FILE | os.O_DIRECTORY


class Item(NamedTuple):
    """A regular file of the tree, as the walk saw it."""

    path: str
    device: int
    inode: int


class Outcome(NamedTuple):
    """What one read of a file gave; equal outcomes are the same file unchanged."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    digest: bytes


class Problem(NamedTuple):
    """A file and what is wrong with it."""

    path: str
    reason: str


class ReplacedError(Exception):
    """The path leads to another file than the one that the walk saw."""


class StopError(Exception):
    """The measurement was interrupted while the file was read."""


def reason(error: OSError) -> str:
    """Say what is wrong, without the path."""
    return error.strerror or str(error)


def _signature(info: os.stat_result) -> tuple[int, ...]:
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def read_file(item: Item, interrupt: Interrupt) -> Outcome:
    """Stat, read and hash one file.

    The file is opened without following a link and without blocking, and is
    read only if it is the very one that the walk saw. So neither a link nor a
    device that takes its place in between is read.

    Args:
        item: The file.
        interrupt: Asked by the owner to give up early.

    Returns:
        Size and times before and after the read, and the SHA-256.

    Raises:
        OSError: The file cannot be read.
        ReplacedError: Another file took its place.

    Context:
        Worker. Lets go of the GIL to read, and to hash 2 KiB and more.
    """
    fd = os.open(item.path, _OPEN_FILE)
    try:
        before = os.fstat(fd)
        if (before.st_dev, before.st_ino) != (item.device, item.inode):
            raise ReplacedError
        sha = hashlib.sha256()
        # One byte more than the size, so that a small file takes no big buffer.
        length = min(_CHUNK, before.st_size + 1) if before.st_size else _CHUNK
        while chunk := os.read(fd, length):
            if interrupt.stop:
                raise StopError
            sha.update(chunk)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    return Outcome(_signature(before), _signature(after), sha.digest())


@dataclass(slots=True)
class Tree:
    """What the walk found."""

    items: list[Item] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)
    symlinks: int = 0
    special: int = 0

    def add(self, path: str, info: os.stat_result) -> bool:
        """Count one entry.

        Returns:
            Whether it is a directory to walk into.
        """
        if stat.S_ISREG(info.st_mode):
            self.items.append(Item(path, info.st_dev, info.st_ino))
        elif stat.S_ISLNK(info.st_mode):
            self.symlinks += 1
        elif not stat.S_ISDIR(info.st_mode):
            self.special += 1
        return stat.S_ISDIR(info.st_mode)


def walk(root: str, found: Callable[[int], None]) -> Tree:
    """Find the regular files under a directory, or take the one file it is.

    Each directory is checked to be the one that its parent showed, so a link
    that takes the place of a directory meanwhile does not lead out of `root`.

    Args:
        root: A path without links.
        found: Told now and then how many files there are so far.

    Returns:
        The files, in a stable order, and what was left out.

    Raises:
        OSError: `root` does not exist.
    """
    tree = Tree()
    info = os.lstat(root)
    todo = [(root, info)] if tree.add(root, info) else []
    while todo:
        directory, seen = todo.pop()
        try:
            fd = os.open(directory, _OPEN_DIR)
            try:
                if not os.path.samestat(seen, os.fstat(fd)):
                    raise OSError(errno.ESTALE, "replaced while the tree was walked")
                with os.scandir(fd) as entries:
                    names = sorted(entries, key=lambda entry: entry.name)
                    for entry in names:
                        path = os.path.join(directory, entry.name)
                        try:
                            info = entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue  # removed since it was listed
                        except OSError as error:
                            tree.unreadable.append(Problem(path, reason(error)))
                            continue
                        if tree.add(path, info):
                            todo.append((path, info))
            finally:
                os.close(fd)
        except OSError as error:
            tree.unreadable.append(Problem(directory, reason(error)))
        found(len(tree.items))
    return tree
