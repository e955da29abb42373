# SPDX-License-Identifier: MIT
"""What the fuzzer calls, and with what: the entries of the module, by their kind."""

from __future__ import annotations

import inspect
import threading
import types

import tpool
import tpool.aio_files
import tpool.iothread
import tpool.loop.event_loop
import tpool.loop.futures
import tpool.loop.guest
import tpool.loop.hops
import tpool.loop.selector
import tpool.stats
import tpool.thread_pool
import tpool.trace.events
import tpool.trace.recording
import tpool.worker_thread
from tpool import _core

# What a method takes: a letter for each argument; see World.valid().
# c callable, s seconds, n nanoseconds, f fd, b bool, i int, t number of threads,
# p pending(), which ends, N notifier, C context, a argument tuples, T one of them, F future, M memory, K call of another executor, v anything.
SIGNATURES = {
    "AioContext": {
        "poll": "b", "prepare": "", "check": "", "dispatch": "", "notify": "",
        "set_poll_params": "nii", "acquire": "", "release": "", "new_bh": "c",
        "call_soon": "cvv", "new_timer": "c", "set_fd_handler": "fcccc",
        "set_event_notifier": "Nccc", "set_fd_poll": "fcc", "watch": "Mic", "fileno": "", "_stats": "",
        "_poll_for": "w", "_own": "", "_disown": "", "_interleave": "",
        "_after_fork": "", "_hand_over": "",
        "_check_idle": "", "_settle": "", "close": "", "stats": "", "_close_pools": "", "_post": "cv",
        "_watch_fd": "fcc", "_dispatch_rest": "", "_poll_while": "p",
        "_check_loops": "", "_leave_loops": "", "wrap_future": "K", "__enter__": "", "__exit__": "vvv",
    },
    "ThreadPool": {
        "submit": "cvv", "_submit_for": "FccT", "submit_many": "ca",
        "set_threads": "tt", "_close": "ib",
        "_outstanding": "", "_stats": "", "stats": "", "map": "ca", "_results": "v",
        "shutdown": "bb", "__enter__": "", "__exit__": "vvv",
    },
    "Request": {
        "result": "s", "exception": "s", "done": "", "running": "", "cancelled": "",
        "cancel": "", "add_done_callback": "c", "__await__": "",
        "__class_getitem__": "v", "_late_result": "",
    },
    "BottomHalf": {"schedule": "", "schedule_idle": "", "cancel": "", "delete": ""},
    "Timer": {"mod_ns": "n", "mod_anticipate_ns": "n", "cancel": ""},
    "EventNotifier": {"set": "", "test_and_clear": "", "fileno": "", "close": ""},
    "SimpleQueue": {
        "put": "vbs", "put_nowait": "v", "get": "bs", "get_nowait": "", "empty": "",
        "qsize": "", "__class_getitem__": "v",
    },
    "Ring": {
        "send": "vs", "try_send": "v", "recv": "s", "recv_view": "s", "try_recv": "", "close": "",
        "_hold": "b", "_let_go": "b", "_arm": "b", "_disarm": "b", "_check": "b", "_has_moved": "b",
    },
    "Watch": {"close": ""},
    "AioFiles": {
        "pread": "fvi", "pwrite": "fvi", "fsync": "f", "fdatasync": "f", "_close": "", "_wait": "",
        "close": "", "__enter__": "", "__exit__": "vvv",
    },
    "Future": {
        "result": "s", "exception": "s", "done": "", "running": "", "cancelled": "",
        "cancel": "", "add_done_callback": "c", "set_result": "v",
        "set_exception": "v", "set_running_or_notify_cancel": "", "_get_snapshot": "",
        "__class_getitem__": "v",
    },
    "ThreadPoolExecutor": {
        "submit": "cvv", "_close": "ib", "_stats": "", "stats": "", "shutdown": "b",
        "__enter__": "", "__exit__": "vvv",
    },
    "Worker": {"run": "", "lost": "", "broken": ""},
    "AioSelector": {
        "register": "fiv", "unregister": "f", "modify": "fiv", "select": "s",
        "get_key": "f", "get_map": "", "close": "", "_watch": "v", "_open": "n",
        "_after_fork": "", "__enter__": "", "__exit__": "vvv", "_fileobj_lookup": "f",
        "belong_to": "v", "_key_from_fd": "i",
    },
    "EventLoop": {
        "run_in_executor": "Ecv", "_write_to_self": "", "close": "", "call_soon": "cv",
        "call_soon_threadsafe": "cv", "call_later": "sc", "add_reader": "fc",
        "remove_reader": "f", "set_default_executor": "P", "stop": "", "_new_pool": "",
        "run_until_complete": "O", "_run_once": "", "time": "", "is_closed": "",
        "create_future": "", "set_debug": "b", "_set_lean": "v",
    },
    "Workers": {
        "add": "W", "discard": "W", "cpu_ns": "", "join": "", "_after_fork": "",
        "__iter__": "",
    },
    "module": {
        "cpus_usable": "", "_trace_enable": "b", "_trace_enabled": "",
        "_trace_clear": "", "_trace_lost": "", "_trace_read": "",
        "_close_pools": "", "_count_calls": "", "_wrap_future": "CK",
        "_default_poll_max_ns": "n", "_open_cached": "vi",
    },
}  # fmt: skip
# Attributes that every object has.
COMMON = {
    "__repr__": "", "__str__": "", "__hash__": "", "__eq__": "v", "__ne__": "v",
    "__lt__": "v", "__dir__": "", "__format__": "v", "__sizeof__": "",
    "__reduce__": "", "__reduce_ex__": "i", "__getstate__": "", "__init__": "vv",
    "__setattr__": "vv", "__delattr__": "v", "__getattribute__": "v",
    "__init_subclass__": "", "__subclasshook__": "v", "__new__": "vv",
}  # fmt: skip
# What ends all there is is called now and then, or there would be nothing to call.
ENDS = {
    "close",
    "_close",
    "_close_pools",
    "shutdown",
    "__exit__",
    "_join",
    "lost",
    "broken",
    "stop",
}
# What may wait for ever, and how not: watch() gets the main thread alone out of it.
WAITS = {
    "poll": (False,), "result": (0,), "exception": (0,), "_poll_for": (0,),
    "select": (0,), "get": (True, 0), "send": (b"", 0), "recv": (0,), "recv_view": (0,), "acquire": None, "_join": None, "join": None, "map": None,
    "shutdown": (False,), "__exit__": None, "close": None, "_poll_while": None,
    "run_until_complete": None, "_run_once": None, "_results": None, "run": None,
}  # fmt: skip
# Called by no fuzzer: each ends the process, its threads, or all pools, or it is what
# a thread runs until it is told to stop; the last takes a number for an fd, and
# closes it.
LEFT_OUT = {
    "_mark_interrupted", "_tell_by_the_exit_status", "_shutdown_at_exit", "join_all",
    "_settle_at_exit", "_stop_at_exit", "_stop_readers_at_exit", "_finish_at_exit", "_run", "_Recorder",
}  # fmt: skip
# The layer in Python: its functions, with what their parameters are by name.
MODULES = [
    tpool.aio_context, tpool.aio_files, tpool.iothread, tpool.loop.event_loop, tpool.loop.futures,
    tpool.loop.guest, tpool.loop.hops, tpool.loop.selector, tpool.stats,
    tpool.thread_pool, tpool.trace.events, tpool.trace.recording, tpool.worker_thread,
]  # fmt: skip
LETTERS = {
    "fn": "c", "func": "c", "callback": "c", "how": "c", "ctx": "C", "loop": "L",
    "request": "R", "future": "F", "pool": "P", "timeout": "s", "worker": "W",
    "fileobj": "f", "pools": "A",
}  # fmt: skip


def functions():
    """Return the functions of the layer in Python, and the letters of each."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__ or name in LEFT_OUT:
                continue
            if isinstance(value, type) and issubclass(
                value, (str, dict, threading.Thread)
            ):
                continue
            if callable(value):
                found[f"{module.__name__}.{name}"] = value, letters_of(value)
    return found


def letters_of(function):
    """Return a letter for each parameter."""
    return "".join(
        LETTERS.get(name, "v") for name in inspect.signature(function).parameters
    )


def check_that_all_is_known():
    """Fail where the C module has an entry that no table of this file knows."""
    for kind in [name for name in SIGNATURES if hasattr(_core, name)]:
        members = vars(getattr(_core, kind))
        unknown = {
            name
            for name in members
            if callable(getattr(getattr(_core, kind), name))
            and name not in SIGNATURES[kind]
            and name not in COMMON
        }
        assert unknown <= {"__doc__"}, f"give SIGNATURES {unknown} of {kind}"
    functions = {
        name for name, value in vars(_core).items()
        if isinstance(value, types.BuiltinFunctionType)
    }  # fmt: skip
    unknown = functions.difference(SIGNATURES["module"], LEFT_OUT)
    assert not unknown, f"give SIGNATURES {unknown} of the module"
