/* SPDX-License-Identifier: MIT
 *
 * Docstrings of Request's methods, for request_methods.c only.
 */
#ifndef TPOOL_POOL_REQUEST_DOC_H
#define TPOOL_POOL_REQUEST_DOC_H

#include "py/state.h"

PyDoc_STRVAR(
    request_doc,
    "One call handed to a ThreadPool, or to another executor; see\n"
    "ThreadPool.submit() and AioContext.wrap_future().\n"
    "\n"
    "It is done once the owner of its AioContext has dispatched it. Its\n"
    "methods are those of a concurrent.futures.Future, which it is not: wait()\n"
    "and as_completed() do not know it.\n"
    "\n"
    "A coroutine in any asyncio loop may await it. Somebody has to turn the\n"
    "context meanwhile: an IOThread, or the loop itself. RuntimeError: it is\n"
    "not done, and the context is closed or gone.");

PyDoc_STRVAR(
    result_doc,
    "result($self, /, timeout=None)\n--\n\n"
    "Return what the call returned, or raise what it raised.\n"
    "\n"
    "Polls the context until the request is done: callbacks of other requests,\n"
    "fd handlers and timers run meanwhile.\n"
    "\n"
    "Args:\n"
    "    timeout: Seconds to wait at most; None and inf: for ever.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: It was not done in time; the request goes on.\n"
    "    concurrent.futures.CancelledError: It was cancelled.\n"
    "    RuntimeError: It is not done and the caller does not own the context,\n"
    "        or the context is closed.\n"
    "    RecursionError: Callbacks wait inside of each other, and the stack is\n"
    "        used up.\n"
    "    ValueError: timeout is negative or NaN.\n"
    "\n"
    "Context: The owner; any thread once it is done.");

PyDoc_STRVAR(exception_doc,
             "exception($self, /, timeout=None)\n--\n\n"
             "Return what the call raised, or None if it returned.\n"
             "\n"
             "Waits and raises as result() does.");

PyDoc_STRVAR(done_doc,
             "done($self, /)\n--\n\n"
             "Whether the owner has received it, or it was cancelled.\n"
             "\n"
             "Turns true in the owner's poll(), before the callbacks run.\n"
             "\n"
             "Context: Any thread.");

PyDoc_STRVAR(running_doc, "running($self, /)\n--\n\n"
                          "Whether it was started and is not done.\n"
                          "\n"
                          "Context: Any thread.");

PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\n"
                            "Whether it was cancelled before it started.\n"
                            "\n"
                            "Context: Any thread.");

PyDoc_STRVAR(
    cancel_doc,
    "cancel($self, /)\n--\n\n"
    "Take it out of the queue, or cancel the future that it wraps; its\n"
    "callbacks run in the owner's next turn.\n"
    "\n"
    "Returns:\n"
    "    Whether it is cancelled: false once it was started.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    add_done_callback_doc,
    "add_done_callback($self, callback, /)\n--\n\n"
    "Call callback(request) in the owner when the request is done.\n"
    "\n"
    "Callbacks run in the order in which they were added, each once. What one\n"
    "raises goes to sys.unraisablehook, except for KeyboardInterrupt and\n"
    "SystemExit, which leave poll(); the others run all the same. If the\n"
    "request is done already, the call is made at once in the owner or where\n"
    "the context is closed, and scheduled from another thread.\n"
    "\n"
    "Raises:\n"
    "    TypeError: callback is not callable.\n"
    "\n"
    "Context: Any thread.");

#endif
