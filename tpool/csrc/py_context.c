/* SPDX-License-Identifier: MIT
 *
 * See py_context.h: the AioContext type, its lock and its ownership.
 */
#include "py_context.h"
#include "py_args.h"
#include "py_bottom_half.h"

#include <structmember.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

static unsigned long this_thread(void)
{
    return PyThread_get_thread_ident();
}

/* Takes the lock without touching depth.  -1: a signal handler raised. */
static int lock_take(AioContextObject *c, bool interruptible)
{
    PyLockStatus status = PY_LOCK_FAILURE;

    if (PyThread_acquire_lock(c->lock, NOWAIT_LOCK)) {
        return 0;
    }
    atomic_fetch_add_explicit(&c->lock_waiters, 1, memory_order_relaxed);
    while (status != PY_LOCK_ACQUIRED) {
        Py_BEGIN_ALLOW_THREADS status = PyThread_acquire_lock_timed(
            c->lock, -1, interruptible);
        Py_END_ALLOW_THREADS if (status == PY_LOCK_INTR &&
                                 Py_MakePendingCalls() < 0)
        {
            break;
        }
    }
    atomic_fetch_sub_explicit(&c->lock_waiters, 1, memory_order_relaxed);
    return status == PY_LOCK_ACQUIRED ? 0 : -1;
}

static bool lock_is_mine(AioContextObject *c)
{
    /* Relaxed: only this thread can have stored its own number. */
    return atomic_load_explicit(&c->lock_owner, memory_order_relaxed) ==
           this_thread();
}

static void lock_set_owner(AioContextObject *c, unsigned long thread,
                           unsigned depth)
{
    atomic_store_explicit(&c->lock_owner, thread, memory_order_relaxed);
    c->lock_depth = depth;
}

int context_acquire(AioContextObject *c)
{
    if (lock_is_mine(c)) {
        c->lock_depth++;
        return 0;
    }
    if (lock_take(c, true) < 0) {
        return -1;
    }
    lock_set_owner(c, this_thread(), 1);
    return 0;
}

void context_release(AioContextObject *c)
{
    assert(lock_is_mine(c));
    if (--c->lock_depth == 0) {
        lock_set_owner(c, 0, 0);
        PyThread_release_lock(c->lock);
    }
}

unsigned context_release_all(AioContextObject *c)
{
    unsigned depth = c->lock_depth;

    lock_set_owner(c, 0, 0);
    PyThread_release_lock(c->lock);
    return depth;
}

void context_acquire_again(AioContextObject *c, unsigned depth)
{
    lock_take(c, false); /* does not fail: no signal handler runs */
    lock_set_owner(c, this_thread(), depth);
}

int context_enter(AioContextObject *c)
{
    if (context_acquire(c) < 0) {
        return -1;
    }
    if (c->closed) {
        context_release(c);
        PyErr_SetString(PyExc_RuntimeError, "the AioContext is closed");
        return -1;
    }
    return 0;
}

bool context_is_owner(AioContextObject *c)
{
    return atomic_load_explicit(&c->owner, memory_order_relaxed) ==
           this_thread();
}

void context_changed(AioContextObject *c)
{
    if (!context_is_owner(c)) {
        notify_bare(&c->core->aio.notify);
    }
}

/* The calling thread is the owner from now on. */
static void adopt(AioContextObject *c)
{
    atomic_store_explicit(&c->owner, this_thread(), memory_order_relaxed);
#ifdef __linux__
    c->owner_tid = (int)syscall(SYS_gettid);
    c->owner_is_main = c->owner_tid == getpid();
#else
    c->owner_is_main = true; /* looks for signals where there are none */
#endif
}

int context_check_owner(AioContextObject *c, const char *what)
{
    bool adopted = atomic_load_explicit(&c->adopted, memory_order_relaxed);

    if (adopted && context_is_owner(c)) {
        return 0;
    }
    if (!adopted &&
        !atomic_exchange_explicit(&c->adopted, true, memory_order_relaxed)) {
        adopt(c);
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "%s in thread %lu: the AioContext belongs to thread %lu, "
                 "which has polled it",
                 what, this_thread(),
                 atomic_load_explicit(&c->owner, memory_order_relaxed));
    return -1;
}

void context_post(AioContextObject *c, struct completion_node *node)
{
    aio_core_post(&c->core->aio, node);
}

/* NULL with an exception. */
static PyObject *context_new(PyTypeObject *type, PyObject *args,
                             PyObject *kwargs)
{
    static char *names[] = {"poll_max_ns", "poll_grow", "poll_shrink", NULL};
    PyObject *max = NULL, *grow = NULL, *shrink = NULL;
    struct poll_params params = {.max_ns = POLL_MAX_NS_DEFAULT};
    AioContextObject *c;
    int ret;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOO:AioContext", names,
                                     &max, &grow, &shrink) ||
        (max &&
         arg_int(max, "poll_max_ns", 0, INT64_MAX, &params.max_ns) < 0) ||
        (grow && arg_int(grow, "poll_grow", 0, INT64_MAX, &params.grow) < 0) ||
        (shrink &&
         arg_int(shrink, "poll_shrink", 0, INT64_MAX, &params.shrink) < 0)) {
        return NULL;
    }
    c = (AioContextObject *)type->tp_alloc(type, 0);
    if (!c) {
        return NULL;
    }
    c->closed = true; /* until all is there */
    c->params = params;
    c->state = PyModule_GetState(
        PyType_GetModuleByDef(type, &tpool_core_module));
    adopt(c); /* for now: the first that polls */
    c->lock = PyThread_allocate_lock();
    ret = c->lock ? fdmon_init(&c->fdmon) : -ENOMEM;
    if (ret < 0) {
        Py_DECREF(c);
        return raise_errno(ret);
    }
    c->core = py_core_new(c->state, (PyObject *)c);
    if (!c->core) {
        fdmon_cleanup(&c->fdmon);
        Py_DECREF(c);
        return NULL;
    }
    c->closed = false;
    c->handlers.notifier_fd = c->core->aio.notify.notifier.rfd;
    ret = fdmon_set(&c->fdmon, c->handlers.notifier_fd, 0, FDMON_READ);
    if (ret < 0) {
        Py_DECREF(c);
        return raise_errno(ret);
    }
    return (PyObject *)c;
}

static void drop_list(struct completion_node **head)
{
    while (*head) {
        struct completion_node *node = *head;

        *head = node->next;
        Py_DECREF(work_of(node));
    }
}

/* Lets go of all; what others still deliver goes to the core. */
static void teardown(AioContextObject *c)
{
    struct py_core *core = c->core;

    c->closed = true;
    c->core = NULL;
    fdmon_cleanup(&c->fdmon);
    handlers_cleanup(&c->handlers);
    timers_cleanup(&c->timers);
    drop_list(&c->batch_head);
    drop_list(&c->idle_head);
    py_core_unref(core);
}

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

static PyObject *context_close(AioContextObject *c,
                               PyObject *Py_UNUSED(ignored))
{
    bool progress = true;

    if (context_acquire(c) < 0) {
        return NULL;
    }
    if (c->poll_depth) {
        context_release(c);
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot close an AioContext that is being polled");
        return NULL;
    }
    if (!c->closed) {
        atomic_store_explicit(&c->adopted, true, memory_order_relaxed);
        adopt(c);
        while (progress &&
               atomic_load_explicit(&c->core->aio.in_flight,
                                    memory_order_relaxed) &&
               (c->batch_head || completion_list_peek(&c->core->aio.list))) {
            if (context_poll(c, 0, &progress) < 0) {
                context_release(c);
                return NULL;
            }
        }
        teardown(c);
    }
    context_release(c);
    Py_RETURN_NONE;
}

static int context_traverse(AioContextObject *c, visitproc visit, void *arg)
{
    struct completion_node *lists[] = {c->batch_head, c->idle_head, NULL};
    int ret;

    Py_VISIT(Py_TYPE(c));
    if (c->core) {
        /*
         * Posters push while this walks, but never take: what is reached stays
         * reachable.  A node carries one reference, which is visited here.
         */
        lists[2] = atomic_load_explicit(&c->core->aio.list.head,
                                        memory_order_acquire);
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(lists); i++) {
        for (struct completion_node *n = lists[i]; n; n = n->next) {
            Py_VISIT(work_of(n));
        }
    }
    ret = handlers_traverse(&c->handlers, visit, arg);
    return ret ? ret : timers_traverse(&c->timers, visit, arg);
}

static int context_clear(AioContextObject *c)
{
    if (!c->closed) {
        teardown(c);
    }
    return 0;
}

static void context_dealloc(AioContextObject *c)
{
    PyTypeObject *type = Py_TYPE(c);

    PyObject_GC_UnTrack(c);
    if (c->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)c);
    }
    context_clear(c);
    if (c->lock) {
        PyThread_free_lock(c->lock);
    }
    type->tp_free(c);
    Py_DECREF(type);
}

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
    "\n"
    "Context: The owner: the first thread that polls. Releases the GIL while\n"
    "    it waits, and the context while it blocks.\n"
    "Source: QEMU's aio_poll().");

static PyObject *context_poll_method(AioContextObject *c, PyObject *const *args,
                                     Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    int blocking = 1;
    bool progress;

    if (nargs + nkw > 1 ||
        (nkw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                 "blocking") != 0)) {
        PyErr_SetString(PyExc_TypeError, "poll() takes one argument, blocking");
        return NULL;
    }
    if (nargs + nkw == 1) {
        blocking = PyObject_IsTrue(args[0]);
        if (blocking < 0) {
            return NULL;
        }
    }
    if (context_poll(c, blocking ? -1 : 0, &progress) < 0) {
        return NULL;
    }
    return PyBool_FromLong(progress);
}

PyDoc_STRVAR(
    prepare_doc,
    "prepare($self, /)\n--\n\n"
    "Before a foreign loop waits on fileno(): how long it may.\n"
    "\n"
    "Returns:\n"
    "    Nanoseconds; 0: call check() at once, -1: for ever.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The context is closed, or another thread owns it.\n"
    "\n"
    "Context: The owner. Posters write the notifier until check().\n"
    "Source: QEMU's aio_ctx_prepare().");

static PyObject *context_prepare_method(AioContextObject *c,
                                        PyObject *Py_UNUSED(ignored))
{
    int64_t timeout_ns;

    if (context_prepare(c, &timeout_ns) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(timeout_ns);
}

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

static PyObject *context_check_method(AioContextObject *c,
                                      PyObject *Py_UNUSED(ignored))
{
    bool ready;

    if (context_check(c, &ready) < 0) {
        return NULL;
    }
    return PyBool_FromLong(ready);
}

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

static PyObject *context_dispatch_method(AioContextObject *c,
                                         PyObject *Py_UNUSED(ignored))
{
    bool progress;

    if (context_dispatch(c, &progress) < 0) {
        return NULL;
    }
    return PyBool_FromLong(progress);
}

PyDoc_STRVAR(set_poll_params_doc,
             "set_poll_params($self, /, max_ns, grow=0, shrink=0)\n--\n\n"
             "Bound and slopes of the self-tuned polling time.\n"
             "\n"
             "Args:\n"
             "    max_ns: Bound in nanoseconds; 0 turns polling off.\n"
             "    grow: Factor to grow by; 0: 2.\n"
             "    shrink: Divisor to shrink by; 0: shrink to nothing.\n"
             "\n"
             "Raises:\n"
             "    ValueError: One is negative.\n"
             "    OverflowError: One does not fit an int64.\n"
             "    RuntimeError: The context is closed.\n"
             "\n"
             "Context: Any thread; waits for the context. Unchanged on error.\n"
             "Source: QEMU's aio_context_set_poll_params().");

static PyObject *context_set_poll_params(AioContextObject *c, PyObject *args,
                                         PyObject *kwargs)
{
    static char *names[] = {"max_ns", "grow", "shrink", NULL};
    PyObject *max, *grow = NULL, *shrink = NULL;
    struct poll_params params = {0};

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:set_poll_params",
                                     names, &max, &grow, &shrink) ||
        arg_int(max, "max_ns", 0, INT64_MAX, &params.max_ns) < 0 ||
        (grow && arg_int(grow, "grow", 0, INT64_MAX, &params.grow) < 0) ||
        (shrink &&
         arg_int(shrink, "shrink", 0, INT64_MAX, &params.shrink) < 0) ||
        context_enter(c) < 0) {
        return NULL;
    }
    c->params = params;
    c->poll_ns = 0;
    for (int fd = 0; fd < c->handlers.size; fd++) {
        if (c->handlers.by_fd[fd]) {
            c->handlers.by_fd[fd]->poll_ns = 0;
        }
    }
    context_changed(c);
    context_release(c);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(notify_doc, "notify($self, /)\n--\n\n"
                         "Make the poll() that runs, or else the next one,\n"
                         "return without blocking.\n"
                         "\n"
                         "Raises:\n"
                         "    RuntimeError: The context is closed.\n"
                         "\n"
                         "Context: Any thread, signal handlers and __del__\n"
                         "    included.\n"
                         "Source: QEMU's aio_notify().");

static PyObject *context_notify(AioContextObject *c,
                                PyObject *Py_UNUSED(ignored))
{
    if (c->closed) {
        PyErr_SetString(PyExc_RuntimeError, "the AioContext is closed");
        return NULL;
    }
    notify_bare(&c->core->aio.notify);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, /)\n--\n\n"
             "Keep all other threads out of the context, the owner included.\n"
             "\n"
             "Recursive. poll() holds it and lets go of it while it blocks.\n"
             "\n"
             "Context: Any thread; Ctrl-C ends the wait.\n"
             "Source: QEMU's aio_context_acquire().");

static PyObject *context_acquire_method(AioContextObject *c,
                                        PyObject *Py_UNUSED(ignored))
{
    if (context_acquire(c) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Undo one acquire().\n"
                          "\n"
                          "Raises:\n"
                          "    RuntimeError: The caller has not acquired it.");

static PyObject *context_release_method(AioContextObject *c,
                                        PyObject *Py_UNUSED(ignored))
{
    if (!lock_is_mine(c) || c->lock_depth <= (unsigned)c->poll_depth) {
        PyErr_SetString(PyExc_RuntimeError,
                        "release() of an AioContext that this thread has not "
                        "acquired");
        return NULL;
    }
    context_release(c);
    Py_RETURN_NONE;
}

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

static int check_open(AioContextObject *c)
{
    if (c->closed) {
        PyErr_SetString(PyExc_RuntimeError, "the AioContext is closed");
        return -1;
    }
    return 0;
}

static PyObject *context_new_bh(AioContextObject *c, PyObject *arg)
{
    PyObject *callback;

    if (arg_callable(arg, "callback", false, &callback) < 0 ||
        check_open(c) < 0) {
        return NULL;
    }
    return bottom_half_new(c->state, (PyObject *)c, callback, NULL);
}

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

static PyObject *context_call_soon(AioContextObject *c, PyObject *args)
{
    PyObject *callback, *rest, *bh, *none;

    if (PyTuple_GET_SIZE(args) < 1) {
        PyErr_SetString(PyExc_TypeError, "call_soon() needs a callback");
        return NULL;
    }
    if (arg_callable(PyTuple_GET_ITEM(args, 0), "callback", false, &callback) <
            0 ||
        check_open(c) < 0) {
        return NULL;
    }
    rest = PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args));
    if (!rest) {
        return NULL;
    }
    bh = bottom_half_new(c->state, (PyObject *)c, callback, rest);
    Py_DECREF(rest);
    if (bh) {
        none = bottom_half_schedule(bh);
        if (!none) {
            Py_CLEAR(bh);
        }
        Py_XDECREF(none);
    }
    return bh;
}

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

static PyObject *context_new_timer(AioContextObject *c, PyObject *arg)
{
    PyObject *callback;

    if (arg_callable(arg, "callback", false, &callback) < 0 ||
        check_open(c) < 0) {
        return NULL;
    }
    return timer_new(c->state, (PyObject *)c, callback);
}

/* Common end of set_fd_handler() and set_event_notifier(). */
static PyObject *set_handler(AioContextObject *c, int fd,
                             PyObject *const callbacks[HANDLER_CALLBACKS],
                             PyObject *keep)
{
    int ret;

    if (callbacks[IO_POLL_READY] && !callbacks[IO_POLL]) {
        PyErr_Format(PyExc_ValueError, "io_poll_ready needs io_poll: %R",
                     callbacks[IO_POLL_READY]);
        return NULL;
    }
    if (context_enter(c) < 0) {
        return NULL;
    }
    ret = handlers_set(&c->handlers, &c->fdmon, fd, callbacks, keep);
    context_changed(c);
    context_release(c);
    if (ret == -ENOMEM) {
        return PyErr_NoMemory();
    }
    if (ret < 0) {
        PyObject *name = PyUnicode_FromFormat("fd %d", fd);

        if (name) {
            errno = -ret;
            PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
            Py_DECREF(name);
        }
        return NULL;
    }
    Py_RETURN_NONE;
}

/* callbacks: as parsed, checked in place; NULL for None. */
static int parse_callbacks(PyObject *callbacks[HANDLER_CALLBACKS])
{
    static const char *const names[] = {"io_read",       "io_write",
                                        "io_poll",       "io_poll_ready",
                                        "io_poll_begin", "io_poll_end"};

    for (int i = 0; i < HANDLER_CALLBACKS; i++) {
        if (arg_callable(callbacks[i], names[i], true, &callbacks[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

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
    "    io_poll_ready: Called when io_poll said so; io_read where None.\n"
    "\n"
    "Raises:\n"
    "    OSError: fd is not open (EBADF), or cannot be waited for (EPERM).\n"
    "    TypeError, ValueError: An argument is of no use; it is named.\n"
    "    RuntimeError: The context is closed.\n"
    "\n"
    "Context: Any thread; waits for the context.\n"
    "Source: QEMU's aio_set_fd_handler().");

static PyObject *context_set_fd_handler(AioContextObject *c, PyObject *args,
                                        PyObject *kwargs)
{
    static char *names[] = {"fd",      "io_read",       "io_write",
                            "io_poll", "io_poll_ready", NULL};
    PyObject *arg, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOO:set_fd_handler",
                                     names, &arg, &callbacks[IO_READ],
                                     &callbacks[IO_WRITE], &callbacks[IO_POLL],
                                     &callbacks[IO_POLL_READY]) ||
        arg_fd(arg, &fd) < 0 || parse_callbacks(callbacks) < 0) {
        return NULL;
    }
    return set_handler(c, fd, callbacks, NULL);
}

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

static PyObject *context_set_event_notifier(AioContextObject *c, PyObject *args,
                                            PyObject *kwargs)
{
    static char *names[] = {"notifier", "io_read", "io_poll", "io_poll_ready",
                            NULL};
    PyObject *notifier, *fileno, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOO:set_event_notifier",
                                     names, &notifier, &callbacks[IO_READ],
                                     &callbacks[IO_POLL],
                                     &callbacks[IO_POLL_READY]) ||
        parse_callbacks(callbacks) < 0) {
        return NULL;
    }
    if (!PyObject_TypeCheck(notifier, c->state->notifier_type)) {
        PyErr_Format(PyExc_TypeError,
                     "notifier must be an EventNotifier, "
                     "not %R",
                     notifier);
        return NULL;
    }
    fileno = PyObject_CallMethod(notifier, "fileno", NULL);
    if (!fileno) {
        return NULL;
    }
    fd = (int)PyLong_AsLong(fileno);
    Py_DECREF(fileno);
    return set_handler(c, fd, callbacks, notifier);
}

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

static PyObject *context_set_fd_poll(AioContextObject *c, PyObject *args,
                                     PyObject *kwargs)
{
    static char *names[] = {"fd", "io_poll_begin", "io_poll_end", NULL};
    PyObject *arg, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd, ret;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:set_fd_poll", names,
                                     &arg, &callbacks[IO_POLL_BEGIN],
                                     &callbacks[IO_POLL_END]) ||
        arg_fd(arg, &fd) < 0 || parse_callbacks(callbacks) < 0 ||
        context_enter(c) < 0) {
        return NULL;
    }
    ret = handlers_set_poll(&c->handlers, fd, callbacks[IO_POLL_BEGIN],
                            callbacks[IO_POLL_END]);
    context_release(c);
    if (ret < 0) {
        return raise_errno(ret);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fileno_doc,
             "fileno($self, /)\n--\n\n"
             "The fd that is readable when the context has work, for a\n"
             "foreign loop: see prepare().\n"
             "\n"
             "Raises:\n"
             "    RuntimeError: The context is closed.\n"
             "    OSError: The system has no such fd (ENOSYS: no epoll).");

static PyObject *context_fileno(AioContextObject *c,
                                PyObject *Py_UNUSED(ignored))
{
    int fd;

    if (check_open(c) < 0) {
        return NULL;
    }
    fd = fdmon_fileno(&c->fdmon);
    return fd < 0 ? raise_errno(fd) : PyLong_FromLong(fd);
}

PyDoc_STRVAR(stats_doc, "_stats($self, /)\n--\n\n"
                        "The fields of AioStats, in its order.");

static PyObject *context_stats(AioContextObject *c,
                               PyObject *Py_UNUSED(ignored))
{
    struct context_stats *s = &c->stats;
    unsigned long long writes = 0, dispatched = counter_get(&s->dispatched);

    if (check_open(c) < 0) {
        return NULL;
    }
    writes = atomic_load_explicit(&c->core->aio.notify.writes,
                                  memory_order_relaxed);
    return Py_BuildValue("(KKKKKKKKKK)",
                         (unsigned long long)counter_get(&s->turns), dispatched,
                         (unsigned long long)counter_get(&s->polls_hit),
                         (unsigned long long)counter_get(&s->polls_missed),
                         (unsigned long long)counter_get(&s->polls_refused),
                         (unsigned long long)counter_get(&s->polled_ns),
                         (unsigned long long)counter_get(&s->blocked_ns),
                         writes, dispatched > writes ? dispatched - writes : 0,
                         (unsigned long long)counter_get(&s->spurious_wakeups));
}

static PyObject *get_poll_max_ns(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(c->params.max_ns);
}

static PyObject *get_poll_grow(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(c->params.grow);
}

static PyObject *get_poll_shrink(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(c->params.shrink);
}

static PyObject *get_poll_ns(AioContextObject *c, void *Py_UNUSED(closure))
{
    int64_t poll_ns = c->poll_ns;

    for (int fd = 0; fd < c->handlers.size; fd++) {
        struct fd_handler *h = c->handlers.by_fd[fd];

        if (h && h->poll_ns > poll_ns) {
            poll_ns = h->poll_ns;
        }
    }
    return PyLong_FromLongLong(poll_ns);
}

static PyObject *get_poll_disable_cnt(AioContextObject *c,
                                      void *Py_UNUSED(closure))
{
    return PyLong_FromLong(c->handlers.blind);
}

static PyObject *get_notify_me(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(c->closed ? 0
                                             : notify_me(&c->core->aio.notify));
}

static PyObject *get_notified(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!c->closed &&
                           notify_is_notified(&c->core->aio.notify));
}

static PyObject *get_closed(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(c->closed);
}

static PyObject *get_owned(AioContextObject *c, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(context_is_owner(c));
}

#define METHOD(name, function, flags, doc)                                     \
    {name, (PyCFunction)(void (*)(void))function, flags, doc}

static PyMethodDef context_methods[] = {
    METHOD("poll", context_poll_method, METH_FASTCALL | METH_KEYWORDS,
           poll_doc),
    METHOD("prepare", context_prepare_method, METH_NOARGS, prepare_doc),
    METHOD("check", context_check_method, METH_NOARGS, check_doc),
    METHOD("dispatch", context_dispatch_method, METH_NOARGS, dispatch_doc),
    METHOD("set_poll_params", context_set_poll_params,
           METH_VARARGS | METH_KEYWORDS, set_poll_params_doc),
    METHOD("notify", context_notify, METH_NOARGS, notify_doc),
    METHOD("acquire", context_acquire_method, METH_NOARGS, acquire_doc),
    METHOD("release", context_release_method, METH_NOARGS, release_doc),
    METHOD("new_bh", context_new_bh, METH_O, new_bh_doc),
    METHOD("call_soon", context_call_soon, METH_VARARGS, call_soon_doc),
    METHOD("new_timer", context_new_timer, METH_O, new_timer_doc),
    METHOD("set_fd_handler", context_set_fd_handler,
           METH_VARARGS | METH_KEYWORDS, set_fd_handler_doc),
    METHOD("set_event_notifier", context_set_event_notifier,
           METH_VARARGS | METH_KEYWORDS, set_event_notifier_doc),
    METHOD("set_fd_poll", context_set_fd_poll, METH_VARARGS | METH_KEYWORDS,
           set_fd_poll_doc),
    METHOD("fileno", context_fileno, METH_NOARGS, fileno_doc),
    METHOD("_stats", context_stats, METH_NOARGS, stats_doc),
    METHOD("close", context_close, METH_NOARGS, close_doc),
    {NULL},
};

static PyGetSetDef context_getset[] = {
    {"poll_max_ns", (getter)get_poll_max_ns, NULL,
     "Bound of the polling time, ns; 0: polling is off.", NULL},
    {"poll_grow", (getter)get_poll_grow, NULL,
     "Factor by which the polling time grows; 0: 2.", NULL},
    {"poll_shrink", (getter)get_poll_shrink, NULL,
     "Divisor by which it shrinks; 0: to nothing.", NULL},
    {"poll_ns", (getter)get_poll_ns, NULL,
     "Polling time now, ns: the longest of any event source.", NULL},
    {"poll_disable_cnt", (getter)get_poll_disable_cnt, NULL,
     "Number of fd handlers without io_poll: no polling unless it is 0.", NULL},
    {"notify_me", (getter)get_notify_me, NULL,
     "Non-zero while somebody must be told of new work: 2 for each blocking\n"
     "poll(), 1 while a foreign loop waits.",
     NULL},
    {"notified", (getter)get_notified, NULL,
     "Whether a notify() has not been accepted yet.", NULL},
    {"closed", (getter)get_closed, NULL, "Whether close() was called.", NULL},
    {"_owned", (getter)get_owned, NULL,
     "Whether the calling thread is the owner.", NULL},
    {NULL},
};

static PyMemberDef context_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(AioContextObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot context_slots[] = {
    {Py_tp_doc, "The part of tpool.AioContext that is in C."},
    {Py_tp_new, context_new},
    {Py_tp_traverse, context_traverse},
    {Py_tp_clear, context_clear},
    {Py_tp_dealloc, context_dealloc},
    {Py_tp_methods, context_methods},
    {Py_tp_getset, context_getset},
    {Py_tp_members, context_members},
    {0, NULL},
};

static PyType_Spec context_spec = {
    .name = "tpool._core.AioContext",
    .basicsize = sizeof(AioContextObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = context_slots,
};

int py_context_add_type(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    state->context_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &context_spec, NULL);
    return state->context_type ? PyModule_AddType(module, state->context_type)
                               : -1;
}
