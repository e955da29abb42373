# SPDX-License-Identifier: MIT
"""Ways to wrap ThreadPoolExecutor.submit(), as tracing libraries have them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import functools
import types

import pytest

Executor = concurrent.futures.ThreadPoolExecutor
plain = Executor.submit
span: contextvars.ContextVar[str | None] = contextvars.ContextVar("span", default=None)


class Tracer:
    """Counts calls, and has each in a copy of its caller's context."""

    def __init__(self):
        self.executors = []

    def __call__(self, original, executor, fn, /, *args, **kwargs):
        self.executors.append(executor)
        run = contextvars.copy_context().run
        return original(executor, run, fn, *args, **kwargs)


class Proxy:
    """What is no function, and hands on all attributes, as wrapt has it."""

    def __init__(self, wrapped, tracer):
        self.__wrapped__, self._tracer = wrapped, tracer

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    def __get__(self, instance, owner):
        if instance is None:
            return Proxy(self.__wrapped__, self._tracer)
        return functools.partial(self._tracer, self.__wrapped__, instance)


def by_function(tracer, monkeypatch):
    @functools.wraps(plain)
    def submit(self, fn, /, *args, **kwargs):
        return tracer(plain, self, fn, *args, **kwargs)

    monkeypatch.setattr(Executor, "submit", submit)


def by_proxy(tracer, monkeypatch):
    monkeypatch.setattr(Executor, "submit", Proxy(plain, tracer))


def by_code(tracer, monkeypatch):
    """The function is the same, and does something else."""
    original = types.FunctionType(plain.__code__, plain.__globals__, "submit")
    monkeypatch.setitem(plain.__globals__, "_tracer", (tracer, original))

    def submit(self, fn, /, *args, **kwargs):
        tracer, original = _tracer  # noqa: F821
        return tracer(original, self, fn, *args, **kwargs)

    monkeypatch.setattr(plain, "__code__", submit.__code__)


def by_class(tracer, monkeypatch):
    class ThreadPoolExecutor(Executor):
        def submit(self, fn, /, *args, **kwargs):
            return tracer(plain, self, fn, *args, **kwargs)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", ThreadPoolExecutor)


WAYS = [by_function, by_proxy, by_code, by_class]


@contextlib.contextmanager
def wrapping():
    """Give a function that wraps submit() until undo() of what it returns."""

    def wrap(way=by_function, tracer=None):
        tracer = tracer or Tracer()
        patch = pytest.MonkeyPatch()
        undone.append(patch)
        way(tracer, patch)
        tracer.undo = patch.undo
        return tracer

    undone = []
    try:
        yield wrap
    finally:
        for patch in reversed(undone):
            patch.undo()
