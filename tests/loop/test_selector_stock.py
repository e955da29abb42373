# SPDX-License-Identifier: MIT
"""AioSelector accepts, refuses and reports what the stock selector does.

Each case is run on both; what they say, what is registered afterwards and what is
reported has to be the same.
"""

from __future__ import annotations

import os
import selectors
import socket
from contextlib import ExitStack

import pytest

from tpool.loop.selector import AioSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
pytestmark = pytest.mark.skipif(
    not hasattr(selectors, "EpollSelector"), reason="needs epoll"
)


class Unequal:
    """Data that cannot be compared, as some arrays."""

    def __eq__(self, other):
        raise LookupError("ambiguous")

    __hash__ = None

    def __repr__(self):
        return "unequal"


class World:
    """A selector, some files by name, and what became of each step."""

    def __init__(self, selector, tmp_path, stack):
        self.selector, self.said = selector, []
        self.a, self.b = socket.socketpair()
        self.c, self.d = socket.socketpair()
        self.plain = (tmp_path / "plain").open("wb")
        for file in (self.a, self.b, self.c, self.d, self.plain):
            stack.callback(file.close)
        self.files = {
            self.a: "a", self.b: "b", self.c: "c", self.d: "d", self.plain: "plain"
        }  # fmt: skip
        self.numbers = {file.fileno(): name for file, name in self.files.items()}

    def name(self, file):
        if isinstance(file, int):
            return f"fd of {self.numbers.get(file)}"
        return self.files[file]

    def told(self, key):
        return self.name(key.fileobj), self.numbers[key.fd], key.events, repr(key.data)

    def step(self, method, *args):
        """Call a method of the selector, and look at all that can be seen of it."""
        try:
            result = getattr(self.selector, method)(*args)
        except Exception as error:
            result = type(error), getattr(error, "errno", None)
        else:
            result = None if result is None else self.told(result)
        self.said.append((method, result, self.seen()))

    def seen(self):
        registered = sorted(self.told(key) for key in self.selector.get_map().values())
        reported = {}
        for key, events in self.selector.select(0):
            reported[self.told(key)] = reported.get(self.told(key), 0) | events
        # One by one with us, none at all without an event.
        return registered, {key: events for key, events in reported.items() if events}


def registered(world, events=READ, data="data"):
    world.step("register", world.a, events, data)
    world.b.send(b"x")


def modified(events, data="data"):
    def case(world):
        registered(world)
        world.step("modify", world.a, events, data)
        world.step("modify", world.a, READ | WRITE, data)
        world.step("modify", world.a, READ, "other")
        world.step("unregister", world.a)

    return case


def modified_to_nothing_and_closed(world):
    registered(world)
    world.step("modify", world.a, 0)
    world.a.close()
    world.step("modify", world.a, READ)
    world.step("unregister", world.a)


def modified_while_it_hangs_up(world):
    registered(world)
    world.b.close()
    world.step("modify", world.a, WRITE)
    world.step("modify", world.a, 0)
    world.step("modify", world.a, READ)


def modified_when_closed(world):
    registered(world)
    world.a.close()
    world.step("modify", world.a, WRITE)
    world.step("modify", world.a, READ)
    world.step("unregister", world.a)


def data_changed_when_closed(world):
    registered(world)
    world.a.close()
    world.step("modify", world.a, READ, "other")
    world.step("unregister", world.a)


def modified_when_closed_by_number(world):
    fd = os.dup(world.a.fileno())
    world.numbers[fd] = "dup"
    world.step("register", fd, READ)
    os.close(fd)
    world.step("modify", fd, WRITE)
    world.step("register", fd, WRITE)


def modified_with_data_that_cannot_be_compared(world):
    registered(world, data=Unequal())
    world.step("modify", world.a, READ, Unequal())
    world.step("unregister", world.a)


def modified_what_is_not_registered(world):
    for file in (world.a, world.a.fileno(), -1, object(), "x", None):
        world.step("modify", file, READ)
        world.step("unregister", file)


def registered_with(events):
    def case(world):
        registered(world, events)
        world.step("register", world.a, READ)
        world.step("unregister", world.a)

    return case


def registered_twice(world):
    registered(world)
    world.step("register", world.a, WRITE, "second")
    world.step("register", world.a.fileno(), WRITE, "third")
    world.step("unregister", world.a.fileno())
    world.step("unregister", world.a)


def registered_what_cannot_be_waited_for(world):
    world.step("register", world.plain, READ)
    world.step("register", world.plain, READ)
    world.step("unregister", world.plain)


def registered_when_closed(world):
    fd = os.dup(world.a.fileno())
    world.numbers[fd] = "dup"
    os.close(fd)
    world.step("register", fd, READ)
    world.step("unregister", fd)
    world.a.close()
    world.step("register", world.a, READ)


def unregistered_when_closed(world):
    registered(world)
    world.a.close()
    world.step("unregister", world.a)
    world.step("unregister", world.a)
    world.step("register", world.c, READ)


def replaced_by_another_file_of_its_number(world):
    fd = os.dup(world.a.fileno())
    world.numbers[fd] = "dup"
    world.step("register", fd, READ)
    os.close(fd)
    os.dup2(world.c.fileno(), fd)
    world.step("register", fd, READ)
    world.step("unregister", fd)
    world.step("register", fd, READ)
    world.d.send(b"x")
    world.step("modify", fd, READ | WRITE)
    world.step("unregister", fd)
    os.close(fd)


EVENTS = {
    "none": 0,
    "read": READ,
    "write": WRITE,
    "both": READ | WRITE,
    "unknown": 8,
    "read and unknown": READ | 8,
    "all": -1,
    "true": True,
    "text": "x",
    "nothing": None,
    "a fraction": 1.0,
    "huge": 2**70,
}
CASES = {
    **{f"modified to {name}": modified(value) for name, value in EVENTS.items()},
    **{
        f"modified to {name}, and data": modified(value, 7)
        for name, value in EVENTS.items()
        if name != "a fraction"  # for the stock one it is 1, until it selects
    },
    **{f"registered with {name}": registered_with(v) for name, v in EVENTS.items()},
    **{
        case.__name__: case
        for case in (
            modified_to_nothing_and_closed,
            modified_while_it_hangs_up,
            modified_when_closed,
            data_changed_when_closed,
            modified_when_closed_by_number,
            modified_with_data_that_cannot_be_compared,
            modified_what_is_not_registered,
            registered_twice,
            registered_what_cannot_be_waited_for,
            registered_when_closed,
            unregistered_when_closed,
            replaced_by_another_file_of_its_number,
        )
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_as_the_stock_selector(case, tmp_path):
    said = []
    for factory in (selectors.EpollSelector, AioSelector):
        with factory() as selector, ExitStack() as stack:
            world = World(selector, tmp_path, stack)
            CASES[case](world)
            said.append(world.said)
    assert said[0] == said[1]


@pytest.fixture
def watch(selector, monkeypatch):
    """Return the list of what _watch_fd() raises, in turn, instead of anything."""

    class Watched:
        """The context, where that method can fail."""

        def __getattr__(self, name):
            return getattr(ctx, name)

        def _watch_fd(self, *args):
            if errors:
                error = errors.pop(0)
                if error is not None:
                    raise error
            ctx._watch_fd(*args)

    ctx, errors = selector.ctx, []
    monkeypatch.setattr(selector, "ctx", Watched())
    return errors


ERRORS = [MemoryError(), OSError(28, "no room"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["register", "modify"])
def test_what_is_refused_in_the_middle_is_not_reported(
    selector, pair, watch, method, error
):
    pair[1].send(b"x")
    if method == "modify":
        selector.register(pair[0], READ, "old")
        assert selector.select(0)
    watch.append(error)
    with pytest.raises(type(error)):
        getattr(selector, method)(pair[0], READ | WRITE, "new")
    assert not selector.get_map()
    assert selector.select(0) == []
    assert selector.ctx.poll_disable_cnt == 0
    key = selector.register(pair[0], READ, "again")
    assert selector.select(0) == [(key, READ)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["register", "modify"])
def test_what_is_refused_and_cannot_be_taken_back_is_in_no_map(
    selector, pair, watch, method, error
):
    if method == "modify":
        selector.register(pair[0], READ, "old")
    watch += [ValueError("refused"), error]
    with pytest.raises((ValueError, type(error))):
        getattr(selector, method)(pair[0], READ | WRITE, "new")
    assert not selector.get_map()


def test_a_number_that_is_another_file_s_meanwhile_can_be_modified(selector, pair):
    """The stock one raises ENOENT, and has forgotten it; here it is taken."""
    left, right = socket.socketpair()
    with left, right:
        fd = os.dup(pair[0].fileno())
        selector.register(fd, READ)
        os.close(fd)
        os.dup2(left.fileno(), fd)
        key = selector.modify(fd, WRITE)
        assert selector.select(0) == [(key, WRITE)]
        selector.unregister(fd)
        os.close(fd)
