/* SPDX-License-Identifier: MIT
 *
 * Docstrings of AioContext's methods, for context_methods.c only.
 */
#ifndef TPOOL_CONTEXT_CONTEXT_DOC_H
#define TPOOL_CONTEXT_CONTEXT_DOC_H

#include "py/state.h"

PyDoc_STRVAR(after_fork_doc, "_after_fork($self, /)\n--\n\n"
                             "In the child of a fork: refuse everything.");

PyDoc_STRVAR(hand_over_doc,
             "_hand_over($self, /)\n--\n\n"
             "In the child of a fork: call what was posted in the parent. It\n"
             "may use any context: each has to refuse everything before.");

PyDoc_STRVAR(check_idle_doc, "_check_idle($self, /)\n--\n\n"
                             "Raise the RuntimeError that close() would.");

PyDoc_STRVAR(
    settle_doc,
    "_settle($self, /)\n--\n\n"
    "Return when the files of the context are as was asked for; nothing is\n"
    "dispatched.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "Dispatch the completions that have arrived, and let go of all\n"
    "fds, timers and bottom halves. May be called twice.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: It is being polled, by a callback of its own or\n"
    "        another thread.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    poll_doc,
    "poll($self, /, blocking=True)\n--\n\n"
    "Turn once: completions and bottom halves, ready fds, timers.\n"
    "\n"
    "Polls for a self-tuned time while requests are in flight, then blocks\n"
    "until something comes. A turn dispatches a bounded batch; the rest keeps\n"
    "the next one from blocking. May be called from a callback. What a\n"
    "callback raises goes to sys.unraisablehook, except for KeyboardInterrupt\n"
    "and SystemExit, which are raised here; nothing is lost by either.\n"
    "\n"
    "Args:\n"
    "    blocking: Whether to wait. Without, it sees all that is ready.\n"
    "\n"
    "Returns:\n"
    "    Whether anything made progress. It can return False early: after a\n"
    "    notify() or a signal.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed, or another thread owns it.\n"
    "    RecursionError: It is inside of others, by callbacks that wait, and the\n"
    "        stack is used up.\n"
    "\n"
    "Context: The owner: the first thread that polls. Releases the GIL while\n"
    "    it waits, and the context while it blocks.\n"
    "Source: QEMU's aio_poll().");

PyDoc_STRVAR(
    prepare_doc,
    "prepare($self, /)\n--\n\n"
    "Before a foreign loop waits on fileno(): how long it may.\n"
    "\n"
    "Where requests are in flight it polls for their completions first, as\n"
    "poll() does and for poll_ns at most; the foreign loop's own sources wait\n"
    "as long.\n"
    "\n"
    "Returns:\n"
    "    Nanoseconds; 0: call check() at once, -1: for ever.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed, or another thread owns it.\n"
    "\n"
    "Context: The owner. Posters write the notifier until check().\n"
    "Source: QEMU's aio_ctx_prepare().");

PyDoc_STRVAR(check_doc,
             "check($self, /)\n--\n\n"
             "After a foreign loop has waited: whether to call dispatch().\n"
             "\n"
             "Raises:\n"
             "    RuntimeError: The context is closed, or another thread owns\n"
             "        it.\n"
             "\n"
             "Context: The owner.\n"
             "Source: QEMU's aio_ctx_check().");

PyDoc_STRVAR(dispatch_doc,
             "dispatch($self, /)\n--\n\n"
             "Dispatch what is ready, as poll(False); return whether anything\n"
             "made progress.\n"
             "\n"
             "Raises:\n"
             "    RuntimeError: The context is closed, or another thread owns\n"
             "        it.\n"
             "\n"
             "Context: The owner.");

PyDoc_STRVAR(
    close_pools_doc,
    "_close_pools($self, /)\n--\n\n"
    "Have the pools that post here, known to anybody or not, accept no\n"
    "more requests; cancel those that are queued.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(
    set_poll_params_doc,
    "set_poll_params($self, /, max_ns, grow=0, shrink=0, *, hybrid=True)\n--\n\n"
    "Set bound and slopes of the polling time, of the pools' workers too.\n"
    "\n"
    "Args:\n"
    "    max_ns: Bound in nanoseconds; 0 turns polling off.\n"
    "    grow: Factor to grow by; 0: 2.\n"
    "    shrink: Divisor to shrink by; 0: shrink to nothing.\n"
    "    hybrid: Whether to sleep through most of a call that is\n"
    "        longer than max_ns but regular, and poll for its end.\n"
    "\n"
    "Raises:\n"
    "    ValueError: One is negative.\n"
    "    OverflowError: One does not fit an int64.\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context. Unchanged on error.\n"
    "Source: QEMU's aio_context_set_poll_params().");

PyDoc_STRVAR(notify_doc, "notify($self, /)\n--\n\n"
                         "Make the poll() that runs, or else the next one,\n"
                         "return without blocking.\n"
                         "\n"
                         "Raises:\n"
                         "    RuntimeError: The context is closed.\n"
                         "\n"
                         "Context: Any thread, signal handlers and __del__\n"
                         "    included. Lets go of the GIL for an owner that\n"
                         "    polls.\n"
                         "Source: QEMU's aio_notify().");

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /)\n--\n\n"
             "Keep all other threads out of the context, the owner included.\n"
             "\n"
             "Recursive. poll() holds it and lets go of it while it blocks.\n"
             "\n"
             "Context: Any thread; Ctrl-C ends the wait.\n"
             "Source: QEMU's aio_context_acquire().");

PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Undo one acquire().\n"
                          "\n"
                          "Raises:\n"
                          "    RuntimeError: The caller has not acquired it.");

PyDoc_STRVAR(new_bh_doc, "new_bh($self, callback, /)\n--\n\n"
                         "Return a BottomHalf that calls callback() in the\n"
                         "owner whenever it is scheduled.\n"
                         "\n"
                         "Raises:\n"
                         "    TypeError: callback is not callable.\n"
                         "    RuntimeError: The context is closed.\n"
                         "\n"
                         "Context: Any thread.\n"
                         "Source: QEMU's aio_bh_new().");

PyDoc_STRVAR(call_soon_doc,
             "call_soon($self, callback, /, *args)\n--\n\n"
             "Call callback(*args) in the owner's next turn, and wake it.\n"
             "\n"
             "Returns:\n"
             "    The BottomHalf, scheduled; it can be cancelled.\n"
             "\n"
             "Raises:\n"
             "    TypeError: callback is not callable.\n"
             "    RuntimeError: The context is closed.\n"
             "\n"
             "Context: Any thread, signal handlers and __del__ included.\n"
             "Source: QEMU's aio_bh_schedule_oneshot().");

PyDoc_STRVAR(new_timer_doc,
             "new_timer($self, callback, /)\n--\n\n"
             "Return a Timer that calls callback() in the owner.\n"
             "\n"
             "Raises:\n"
             "    TypeError: callback is not callable.\n"
             "    RuntimeError: The context is closed.\n"
             "\n"
             "Context: Any thread.\n"
             "Source: QEMU's aio_timer_new().");

PyDoc_STRVAR(
    set_fd_handler_doc,
    "set_fd_handler($self, /, fd, io_read=None, io_write=None, io_poll=None,\n"
    "               io_poll_ready=None)\n--\n\n"
    "Call back in the owner while fd is ready (level-triggered).\n"
    "\n"
    "A handler without io_poll turns the poll phase off for the whole context,\n"
    "which would be blind to its fd: see poll_disable_cnt. All None removes;\n"
    "a handler that is removed is not called again, also in the same turn.\n"
    "\n"
    "Args:\n"
    "    fd: An open fd, or an object with fileno().\n"
    "    io_read: Called while fd is readable, or has an error.\n"
    "    io_write: Called while fd is writable, or has an error.\n"
    "    io_poll: Called in the poll phase; returns whether fd is ready.\n"
    "    io_poll_ready: Called when io_poll said so; io_read where None. Without\n"
    "        io_read it, or else io_poll, is called while fd is readable.\n"
    "\n"
    "Raises:\n"
    "    OSError: fd is not open (EBADF), or cannot be waited for (EPERM).\n"
    "    TypeError, ValueError, OverflowError: An argument is of no use; it is\n"
    "        named.\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context.\n"
    "Source: QEMU's aio_set_fd_handler().");

PyDoc_STRVAR(
    set_event_notifier_doc,
    "set_event_notifier($self, /, notifier, io_read=None, io_poll=None,\n"
    "                   io_poll_ready=None)\n--\n\n"
    "As set_fd_handler() for an EventNotifier, which is kept alive.\n"
    "\n"
    "io_read has to call notifier.test_and_clear().\n"
    "\n"
    "Context: Any thread; waits for the context.\n"
    "Source: QEMU's aio_set_event_notifier().");

PyDoc_STRVAR(
    set_fd_poll_doc,
    "set_fd_poll($self, /, fd, io_poll_begin=None, io_poll_end=None)\n--\n\n"
    "Call back at the begin and at the end of each poll phase, in pairs.\n"
    "\n"
    "Args:\n"
    "    fd: One that has a handler with io_poll.\n"
    "    io_poll_begin: May turn the source's notifications off.\n"
    "    io_poll_end: Turns them on again; io_poll is called once more after\n"
    "        it.\n"
    "\n"
    "Raises:\n"
    "    OSError: fd has no handler (ENOENT).\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context.\n"
    "Source: QEMU's aio_set_fd_poll().");

PyDoc_STRVAR(
    watch_doc,
    "watch($self, /, buffer, offset, callback, *, value=None, interval=0.001)\n"
    "--\n\n"
    "Call back when a word of 32 bits changes, in memory that is shared with\n"
    "other processes.\n"
    "\n"
    "The poll phase looks at it, without the GIL. Who writes it wakes nobody: so\n"
    "an owner that sleeps looks each interval, and a poll() that blocks returns\n"
    "then, False. Changes that come and go between two looks are not seen.\n"
    "\n"
    "Args:\n"
    "    buffer: A SharedMemory's buf, an mmap, ...; held until it is closed.\n"
    "    offset: Bytes from its begin to the word, which is aligned and in the\n"
    "        byte order of the machine.\n"
    "    callback: Called without arguments, in the owner.\n"
    "    value: To be called when the word becomes this, once each time, and at\n"
    "        once if it is; None: when it differs from what it was.\n"
    "    interval: How long the owner may sleep, seconds; None: as long as there\n"
    "        is nothing to do: who writes the word wakes it by other means, an\n"
    "        EventNotifier say (see set_event_notifier()).\n"
    "\n"
    "Returns:\n"
    "    A Watch, whose close() ends it. The context keeps it meanwhile.\n"
    "\n"
    "Raises:\n"
    "    ValueError: There is no such word; an argument is out of range.\n"
    "    TypeError: callback is not callable, or buffer none.\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context.");

PyDoc_STRVAR(
    fileno_doc,
    "fileno($self, /)\n--\n\n"
    "The fd that is readable when the context has work, for a\n"
    "foreign loop: see prepare().\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed.\n"
    "    OSError: The system has no such fd for fd handlers (ENOSYS: no\n"
    "        epoll), and the context has some.");

PyDoc_STRVAR(
    poll_for_doc,
    "_poll_for($self, timeout_ns, /)\n--\n\n"
    "poll() for an event loop, waiting for timeout_ns at most; -1: for\n"
    "ever. Returns whether work waits for _dispatch_rest(), which has to\n"
    "be called once the loop has run what was posted before it.\n"
    "\n"
    "In any thread while the owner is in no turn: it is lent the context.");

PyDoc_STRVAR(dispatch_rest_doc,
             "_dispatch_rest($self, /)\n--\n\n"
             "Dispatch the work that _poll_for() has left; returns the same.");

PyDoc_STRVAR(
    post_doc,
    "_post($self, callback, arg, /)\n--\n\n"
    "Have the owner call callback(arg), which hands arg to the event\n"
    "loop that it runs. Order is kept with the results of calls.\n"
    "\n"
    "Context: Any thread. Waits, for 5 ms at most, while very much is\n"
    "posted that the owner has not run.");

PyDoc_STRVAR(own_doc, "_own($self, /)\n--\n\n"
                      "Be the owner, who runs an event loop on it.\n"
                      "\n"
                      "Raises:\n"
                      "    RuntimeError: Another thread is, or it is closed.");

PyDoc_STRVAR(disown_doc, "_disown($self, /)\n--\n\n"
                         "Nobody runs an event loop on it any more: whoever\n"
                         "polls next is the owner.\n"
                         "\n"
                         "Context: The owner; in a turn, its end does it.");

PyDoc_STRVAR(
    watch_fd_doc,
    "_watch_fd($self, fd, io_read, io_write, /)\n--\n\n"
    "set_fd_handler() for a selector: whoever registers an fd removes it\n"
    "before it is closed. No system call then but those of a selector.");

PyDoc_STRVAR(interleave_doc,
             "_interleave($self, /)\n--\n\n"
             "Have the poll phase look at the fds too, at a bounded rate.\n"
             "\n"
             "Handlers without io_poll then leave polling on, and notify() is\n"
             "polled for as completions are.");

PyDoc_STRVAR(stats_doc, "_stats($self, /)\n--\n\n"
                        "The fields of AioStats, by name.");

#endif
