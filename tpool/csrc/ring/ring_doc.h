/* SPDX-License-Identifier: MIT
 *
 * Docstrings of Ring's methods: what they mean, raise, and who may call them.
 */
#ifndef TPOOL_RING_RING_DOC_H
#define TPOOL_RING_RING_DOC_H

#include "py/state.h"

PyDoc_STRVAR(ring_doc,
             "A one-way ring of messages in a buffer; see tpool.Ring.");

PyDoc_STRVAR(
    send_doc,
    "send($self, /, data, timeout=None)\n--\n\n"
    "Send a message to all readers; this process becomes the writer.\n"
    "\n"
    "Where there is no room it polls for some, without the GIL, for as long\n"
    "as that has paid of late, and then sleeps until the slowest reader has\n"
    "made some. A reader that has yet to come is waited for too.\n"
    "\n"
    "Args:\n"
    "    data: A bytes-like object, message_max bytes at most.\n"
    "    timeout: How long to wait at most, seconds; None: for ever; 0: not\n"
    "        at all.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: There was no room in that time.\n"
    "    BrokenPipeError: All readers have closed the ring.\n"
    "    ConnectionResetError: None is left, and one has died.\n"
    "    ValueError: The message is too long for this ring.\n"
    "    OSError: Another process is, or was, the writer (EBUSY); the memory\n"
    "        holds garbage (EBADMSG); the system gives no fd.\n"
    "    RuntimeError: The ring is closed.\n"
    "\n"
    "Context: Any thread; those that have to wait do so one by one. In the\n"
    "    main thread the handlers of signals run meanwhile; what one raises,\n"
    "    as Ctrl-C does, send() raises, and sends nothing.");

PyDoc_STRVAR(try_send_doc,
             "try_send($self, data, /)\n--\n\n"
             "Send a message if there is room for it, as send() does.\n"
             "\n"
             "Returns:\n"
             "    False where there is none.\n"
             "\n"
             "Raises:\n"
             "    OSError: As send(), and its other exceptions.\n"
             "\n"
             "Context: Any thread. It never waits.");

PyDoc_STRVAR(
    recv_doc,
    "recv($self, /, timeout=None)\n--\n\n"
    "Take the oldest message; this process becomes a reader.\n"
    "\n"
    "A reader sees all messages from the first on, whenever it comes. Where\n"
    "there is none it polls for one, without the GIL, for as long as that has\n"
    "paid of late, and then sleeps.\n"
    "\n"
    "Args:\n"
    "    timeout: How long to wait at most, seconds; None: for ever; 0: not\n"
    "        at all.\n"
    "\n"
    "Returns:\n"
    "    A copy of it, as bytes.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: There was none in that time.\n"
    "    EOFError: There is none, and the writer has closed the ring.\n"
    "    ConnectionResetError: There is none, and the writer has died. What it\n"
    "        had sent comes before that, and of what it was about to, nothing.\n"
    "    OSError: All places of readers are, or were, taken (EBUSY); the memory\n"
    "        holds garbage (EBADMSG); the system gives no fd.\n"
    "    RuntimeError: The ring is closed.\n"
    "\n"
    "Context: Any thread; those that have to wait do so one by one. In the\n"
    "    main thread the handlers of signals run meanwhile; what one raises,\n"
    "    as Ctrl-C does, recv() raises, and takes no message.");

PyDoc_STRVAR(
    recv_view_doc,
    "recv_view($self, /, timeout=None)\n--\n\n"
    "Look at the oldest message where it lies, without a copy of it.\n"
    "\n"
    "Until the memoryview is released, by its release(), as a context manager or\n"
    "as nobody has it any more, the message is not taken: the writer has no use\n"
    "of its room, and no other message is given. Of a writer that is not to be\n"
    "trusted it may change while it is looked at.\n"
    "\n"
    "Args:\n"
    "    timeout: As that of recv().\n"
    "\n"
    "Returns:\n"
    "    A memoryview of bytes, read only.\n"
    "\n"
    "Raises:\n"
    "    BufferError: The last one is not released; recv() and try_recv() raise\n"
    "        it too.\n"
    "    TimeoutError: As recv(), and its other exceptions.\n"
    "\n"
    "Context: As recv(). It may be released in any thread.");

PyDoc_STRVAR(try_recv_doc,
             "try_recv($self, /)\n--\n\n"
             "Take the oldest message if there is one, as recv().\n"
             "\n"
             "Returns:\n"
             "    A copy of it, as bytes; None where there is none.\n"
             "\n"
             "Raises:\n"
             "    EOFError: As recv(), and its other exceptions.\n"
             "\n"
             "Context: Any thread. It never waits.");

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "Be no side of the ring any more, and tell the others.\n"
    "\n"
    "A thread that waits in it raises RuntimeError. The place stays taken: no\n"
    "other process can go on in it. May be called twice; a Ring that is\n"
    "dropped is closed.\n"
    "\n"
    "Context: Any thread.");

PyDoc_STRVAR(hold_doc,
             "_hold($self, writes, /)\n--\n\n"
             "Return the fd that is readable when the side is to look again.\n"
             "It stays until _let_go().");

PyDoc_STRVAR(let_go_doc, "_let_go($self, writes, /)\n--\n\n"
                         "Need the fd no more.");

PyDoc_STRVAR(arm_doc,
             "_arm($self, writes, /)\n--\n\n"
             "Ask to be told when what the last try has missed may be there.\n"
             "Returns whether to wait for the fd; else it is there.");

PyDoc_STRVAR(disarm_doc, "_disarm($self, writes, /)\n--\n\n"
                         "Ask no more to be told: it looks by itself.");

PyDoc_STRVAR(check_doc, "_check($self, writes, /)\n--\n\n"
                        "See who has died, after the fd was readable.");

PyDoc_STRVAR(has_moved_doc,
             "_has_moved($self, writes, /)\n--\n\n"
             "Whether what the last try has missed may be there.");

PyDoc_STRVAR(size_doc, "Bytes that messages can take, with 8 to 15 for each.");
PyDoc_STRVAR(readers_doc, "Readers that the ring has places for.");
PyDoc_STRVAR(message_max_doc, "Bytes of the longest message.");
PyDoc_STRVAR(closed_doc, "Whether it was closed here.");
PyDoc_STRVAR(wakeups_doc,
             "How often this Ring has woken other processes: system calls.");
PyDoc_STRVAR(sleeps_doc, "How often a thread has slept in this Ring.");

#endif
