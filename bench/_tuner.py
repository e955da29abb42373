# SPDX-License-Identifier: MIT
"""The arithmetic of the self-tuning, from its C files, for Python to call."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

CSRC = Path(__file__).parents[1] / "tpool" / "csrc"
FILES = (
    *("poll_tuner", "poll_history", "poll_window", "call_plan"),
    *("poll_trial", "trial_compare", "trial_credit", "trial_moment", "trial_turns"),
)
KEEP, GROW, SHRINK = range(3)  # enum poll_verdict
WAY_POLL, WAY_BLOCK, WAY_SERIAL, WAY_FEW = 0, 1, 2, 4  # sets of enum way_bit
# enum trial_verdict
TRIAL_NONE, TRIAL_BEGUN, TRIAL_DOUBTS, TRIAL_LOST, TRIAL_WON = range(5)
(
    TRIAL_STEADY,
    TRIAL_SETTLES,
    TRIAL_TRIES,
    TRIAL_DOUBTED,
    TRIAL_CHECKS,
    TRIAL_RETURNS,
    TRIAL_RECOVERS,
) = range(7)  # enum trial_stage
QUIET, BLOCK, HOPELESS, NAP, POLL = range(5)  # enum wait_choice

_ns = ctypes.c_int64


class Params(ctypes.Structure):
    """struct poll_params."""

    _fields_ = (
        ("max_ns", _ns),
        ("grow", _ns),
        ("shrink", _ns),
        ("hybrid", ctypes.c_bool),
    )


class Moving(ctypes.Structure):
    """struct moving."""

    _fields_ = (("mean_ns", _ns), ("dev_ns", _ns))


class History(ctypes.Structure):
    """struct poll_history."""

    _fields_ = (("waits", ctypes.c_uint32), ("share", ctypes.c_int32 * 5))


class PollWindow(ctypes.Structure):
    """struct poll_window."""

    _fields_ = (
        ("poll_ns", _ns),
        ("history", History),
        ("wake_ns", _ns),
        ("skipped", ctypes.c_uint32),
        ("retried", ctypes.c_bool),
    )


class CallHistory(ctypes.Structure):
    """struct call_history."""

    _fields_ = (("poll", PollWindow), ("took", Moving), ("ran", Moving))


class SleepCosts(ctypes.Structure):
    """struct sleep_costs."""

    _fields_ = (("wake_ns", _ns), ("late", Moving))


class Plan(ctypes.Structure):
    """struct wait_plan."""

    _fields_ = (
        *(("choice", ctypes.c_int), ("window_ns", _ns)),
        *(("nap_ns", _ns), ("batch", ctypes.c_bool)),
    )


class CallCosts(ctypes.Structure):
    """struct call_costs."""

    _fields_ = (
        ("calls", _ns),
        ("ns", _ns),
        ("cpu_ns", _ns),
        ("in_flight", ctypes.c_uint32),
        ("crowd", ctypes.c_bool),
    )


class PollTrial(ctypes.Structure):
    """struct poll_trial."""

    _fields_ = (
        ("way", ctypes.c_uint),
        ("bit", ctypes.c_int),
        ("flips", ctypes.c_uint),
        ("stage", ctypes.c_int),
        ("warm", ctypes.c_bool),
        ("odd", ctypes.c_bool),
        ("wakes", ctypes.c_bool),
        ("moment", ctypes.c_bool),
        ("thin", ctypes.c_int),
        ("full", ctypes.c_uint32),
        ("lasted", ctypes.c_int),
        ("alone", ctypes.c_uint),
        ("epochs", ctypes.c_int),
        ("pauses", ctypes.c_int),
        ("in_flight", ctypes.c_uint32),
        ("crowd", ctypes.c_bool),
        ("cost_ns", _ns * 8),
        ("time_ns", _ns * 8),
        ("calls_min", _ns),
        ("ns_min", _ns),
        *(("tried", CallCosts), ("found", CallCosts)),
        *(("credit_ns", _ns), ("alike_ns", _ns)),
        ("due_ns", _ns * 3),
        ("interval_ns", _ns * 3),
    )


_pointer = ctypes.POINTER
_PROTOTYPES = {
    "poll_tuner_next_ns": (_ns, _pointer(Params), _ns, _ns, _pointer(ctypes.c_int)),
    "poll_tuner_wait_ns": (_ns, _ns, _ns, _ns),
    "poll_tuner_wake_ns": (_ns, _ns, _ns),
    "poll_history_add": (None, _pointer(History), _ns, _ns),
    "poll_history_window_ns": (_ns, _pointer(History), _ns, _ns),
    "poll_window_init": (None, _pointer(PollWindow), _ns),
    "poll_window_next_ns": (_ns, _pointer(PollWindow), _pointer(Params), _ns),
    "poll_window_tune": (ctypes.c_int, _pointer(PollWindow), _pointer(Params), _ns),
    "call_history_init": (None, _pointer(CallHistory), _ns),
    "call_plan": (
        *(Plan, _pointer(CallHistory), _pointer(Params)),
        *(_pointer(SleepCosts), _ns),
    ),
    "poll_trial_init": (None, _pointer(PollTrial)),
    "poll_trial_next": (
        *(ctypes.c_int, _pointer(PollTrial)),
        *(_pointer(CallCosts), ctypes.c_uint32),
    ),
    "poll_trial_pause": (ctypes.c_bool, _pointer(PollTrial), _ns, ctypes.c_uint32),
    "trial_credit_earn": (None, _pointer(_ns), _pointer(CallCosts)),
    "trial_credit_pay": (None, _pointer(_ns), _pointer(CallCosts), _ns, _ns),
    "trial_credit_forgive": (None, _pointer(_ns), _ns),
    "poll_trial_drop": (ctypes.c_bool, _pointer(PollTrial)),
    "sleep_costs_init": (None, _pointer(SleepCosts)),
    "sleep_costs_late": (None, _pointer(SleepCosts), _ns, ctypes.c_bool),
    "moving_add": (None, _pointer(Moving), _ns),
}


@functools.cache
def load() -> ctypes.CDLL:
    """Compile the files and return them as a library.

    Raises:
        FileNotFoundError: There is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise FileNotFoundError("no C compiler: cc, gcc or clang")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tuner.so"
        flags = [
            "-std=c11",
            "-O2",
            "-shared",
            "-fPIC",
            "-UNDEBUG",
            "-ftrapv",
            f"-I{CSRC}",
        ]
        sources = [str(CSRC / "tune" / f"{name}.c") for name in FILES]
        subprocess.run([compiler, *flags, "-o", path, *sources], check=True)
        library = ctypes.CDLL(path)
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
