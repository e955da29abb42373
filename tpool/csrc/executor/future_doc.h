/* SPDX-License-Identifier: MIT
 *
 * Docstrings of Future's methods, for future_methods.c only.
 */
#ifndef TPOOL_EXECUTOR_FUTURE_DOC_H
#define TPOOL_EXECUTOR_FUTURE_DOC_H

#include "py/state.h"

PyDoc_STRVAR(
    result_doc,
    "result($self, /, timeout=None)\n--\n\n"
    "Return what the call returned, or raise what it raised.\n"
    "\n"
    "Waits for it: looks for it without the GIL, for a time that is bounded by\n"
    "the executor's poll_max_ns and learned from its last waits, then sleeps.\n"
    "\n"
    "Args:\n"
    "    timeout: Seconds to wait at most; None and inf: for ever.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: It was not done in time; the call goes on.\n"
    "    concurrent.futures.CancelledError: It was cancelled.\n"
    "    RuntimeError: It is not done, and this is the child of a fork, where\n"
    "        nobody does it.\n"
    "    ValueError: timeout is NaN.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(exception_doc,
             "exception($self, /, timeout=None)\n--\n\n"
             "Return what the call raised, or None if it returned.\n"
             "\n"
             "Waits and raises as result() does.");

PyDoc_STRVAR(done_doc, "done($self, /)\n--\n\n"
                       "Whether the call has ended, or was cancelled.\n"
                       "\n"
                       "Context: Any thread.");

PyDoc_STRVAR(running_doc, "running($self, /)\n--\n\n"
                          "Whether a thread has it, and it has not ended.\n"
                          "\n"
                          "Context: Any thread.");

PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n"
                            "Whether it was cancelled.\n"
                            "\n"
                            "Context: Any thread.");

PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /)\n--\n\n"
    "Have the call not be made, if no thread has it yet.\n"
    "\n"
    "Callbacks run in here, and wait() and as_completed() are told, before it\n"
    "returns.\n"
    "\n"
    "Returns:\n"
    "    Whether it was cancelled, now or before.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    add_done_callback_doc,
    "add_done_callback($self, /, fn)\n--\n\n"
    "Call fn(self) once it is done; at once if it is.\n"
    "\n"
    "In the thread that has made the call, or has cancelled it, in the order in\n"
    "which they were added. What a callback raises is logged.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(set_result_doc,
             "set_result($self, /, result)\n--\n\n"
             "Say what came of it, instead of its call.\n"
             "\n"
             "Raises:\n"
             "    concurrent.futures.InvalidStateError: It is done.\n"
             "\n"
             "Context: Any thread.");

PyDoc_STRVAR(set_exception_doc, "set_exception($self, /, exception)\n--\n\n"
                                "The same, where that is an exception.");

PyDoc_STRVAR(set_running_doc,
             "set_running_or_notify_cancel($self, /)\n--\n\n"
             "Say that it is running, unless it was cancelled.\n"
             "\n"
             "Returns:\n"
             "    False if it was cancelled.\n"
             "\n"
             "Raises:\n"
             "    RuntimeError: It is running, or done.\n"
             "\n"
             "Context: Any thread.");

#endif
