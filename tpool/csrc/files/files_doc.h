/* SPDX-License-Identifier: MIT
 *
 * Docstrings of AioFiles, for files.c only.
 */
#ifndef TPOOL_FILES_FILES_DOC_H
#define TPOOL_FILES_FILES_DOC_H

#include "py/state.h"

PyDoc_STRVAR(
    pread_doc,
    "pread($self, /, fd, length_or_buffer, offset)\n--\n\n"
    "Read from a place in a file.\n"
    "\n"
    "What is in the page cache is read at once, and the request is done when\n"
    "this returns; of one turn of the context 1 MiB and 64 reads at most, so that\n"
    "whoever reads on and on lets others run. As os.pread(), it reads less than was\n"
    "asked for where the file ends before.\n"
    "\n"
    "Args:\n"
    "    fd: A file that is open for reading, or an object with fileno(). It has\n"
    "        to stay open until the request is done.\n"
    "    length_or_buffer: Bytes to read at most; or what to read into: a\n"
    "        writable buffer, or a sequence of these, one filled after the other.\n"
    "        Nobody can resize or free it before the request is done.\n"
    "    offset: Where in the file, bytes.\n"
    "\n"
    "Returns:\n"
    "    A Request: of the bytes read, or, with a buffer, of their number.\n"
    "    b'' and 0 tell of the end of the file. It raises OSError where\n"
    "    os.pread() does.\n"
    "\n"
    "Raises:\n"
    "    TypeError, ValueError, OverflowError, BufferError: An argument is\n"
    "        wrong; it is named.\n"
    "    PoolFull: max_pending requests wait.\n"
    "    RuntimeError: This, or the context, is closed; or another thread\n"
    "        polls that.\n"
    "\n"
    "Context: The owner.");

PyDoc_STRVAR(
    pwrite_doc,
    "pwrite($self, /, fd, data, offset)\n--\n\n"
    "Write to a place in a file.\n"
    "\n"
    "Args:\n"
    "    fd: A file that is open for writing; see pread(). One that is open\n"
    "        with O_APPEND is written at its end, wherever offset is.\n"
    "    data: A buffer, or a sequence of these, one written after the other.\n"
    "        It must not change before the request is done.\n"
    "    offset: Where in the file, bytes.\n"
    "\n"
    "Returns:\n"
    "    A Request of the number of bytes written: less than was asked for\n"
    "    where the device is full, say. It raises OSError where os.pwrite()\n"
    "    does.\n"
    "\n"
    "Raises as pread().\n"
    "\n"
    "Context: The owner.");

PyDoc_STRVAR(fsync_doc,
             "fsync($self, /, fd)\n--\n\n"
             "Have all that is written to a file on its device.\n"
             "\n"
             "That is what requests have written that are done: those "
             "in flight may\n"
             "come before it, or after.\n"
             "\n"
             "Returns:\n"
             "    A Request of None. It raises OSError where "
             "os.fsync() does.\n"
             "\n"
             "Raises as pread().\n"
             "\n"
             "Context: The owner.");

PyDoc_STRVAR(fdatasync_doc,
             "fdatasync($self, /, fd)\n--\n\n"
             "The same as fsync(), but for what is not needed to read it "
             "again,\n"
             "such as the time of the last change.");

#endif
