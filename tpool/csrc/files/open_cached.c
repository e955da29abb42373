/* SPDX-License-Identifier: MIT
 *
 * To open a file without waiting for a device: where each part of its path is cached.
 */
#include "py/state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif
#endif

PyDoc_STRVAR(
    open_cached_doc,
    "_open_cached($module, path, flags, /)\n--\n\n"
    "Open a regular file as os.open(path, flags) does, where that need not\n"
    "wait: each part of the path is in the kernel's cache, nothing is created.\n"
    "\n"
    "Returns:\n"
    "    The fd and the size of the file, bytes; None: open it in a thread.");

/* A file, or -1: whatever the error is, who opens it in earnest tells. */
static int open_now(const char *path, int flags)
{
#if defined(SYS_openat2) && defined(RESOLVE_CACHED)
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
                           .resolve = RESOLVE_CACHED};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
#else
    (void)path, (void)flags;
    return -1;
#endif
}

static PyObject *open_cached(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *path;
    struct stat st;
    int flags, fd;

    if (!PyArg_ParseTuple(args, "O&i:_open_cached", PyUnicode_FSConverter,
                          &path, &flags)) {
        return NULL;
    }
    /* To open a pipe would wait for its other end. */
    fd = open_now(PyBytes_AS_STRING(path), flags | O_NONBLOCK);
    Py_DECREF(path);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        fcntl(fd, F_SETFL, flags) == 0) {
        return Py_BuildValue("iL", fd, (long long)st.st_size);
    }
    if (fd >= 0) {
        close(fd);
    }
    Py_RETURN_NONE;
}

int py_open_init(PyObject *module)
{
    static PyMethodDef functions[] = {
        METHOD("_open_cached", open_cached, METH_VARARGS, open_cached_doc),
        {NULL},
    };

    return PyModule_AddFunctions(module, functions);
}
