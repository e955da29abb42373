/* SPDX-License-Identifier: MIT
 *
 * See signals.h.
 */
#include "py/signals.h"

#include <unistd.h>

/* There is none to set: not the main interpreter. */
#define NO_WAKEUP_FD (-2)

/* partial(signal.set_wakeup_fd, warn_on_full_buffer=False); see give_back(). */
int py_signals_init(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);
    PyObject *signals = PyImport_ImportModule("_signal");
    PyObject *args = NULL, *kwargs = NULL;

    if (signals) {
        args = Py_BuildValue("(N)",
                             PyObject_GetAttrString(signals, "set_wakeup_fd"));
        kwargs = Py_BuildValue("{sO}", "warn_on_full_buffer", Py_False);
    }
    if (args && kwargs) {
        state->set_wakeup_fd = PyObject_Call((PyObject *)state->partial_type,
                                             args, kwargs);
    }
    Py_XDECREF(signals);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return state->set_wakeup_fd ? 0 : -1;
}

static int call_set_wakeup_fd(const struct signal_guard *g, int fd)
{
    PyObject *exc = take_exception();
    PyObject *number = PyLong_FromLong(fd), *result = NULL;
    int before = NO_WAKEUP_FD;

    if (number) {
        result = PyObject_CallOneArg(g->state->set_wakeup_fd, number);
    }
    if (result) {
        before = (int)PyLong_AsLong(result);
    }
    Py_XDECREF(result);
    Py_XDECREF(number);
    PyErr_Clear(); /* as the C function: it just does not work here */
    put_exception(exc);
    return before;
}

/* Main thread, GIL held.  Sets CPython's wakeup fd; returns the one before. */
static int set_wakeup_fd(const struct signal_guard *g, int fd)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)g;
    return PySignal_SetWakeupFd(fd);
#else
    /* PySignal_SetWakeupFd() is declared, but not exported. */
    return call_set_wakeup_fd(g, fd);
#endif
}

/*
 * The same with what was somebody else's.  Whether they want to be warned of a full
 * buffer cannot be asked: no warning, as who has a full one is awake.
 */
static void give_back(const struct signal_guard *g, int other)
{
    /* Refused: it has been closed meanwhile, say. */
    if (call_set_wakeup_fd(g, other) == NO_WAKEUP_FD &&
        set_wakeup_fd(g, other) == NO_WAKEUP_FD) {
        set_wakeup_fd(g, -1);
    }
}

void signal_guard_init(struct signal_guard *g, struct module_state *state)
{
    g->state = state;
    g->pipe.rfd = g->pipe.wfd = -1;
    g->set = false;
    g->other = -1;
}

void signal_guard_cleanup(struct signal_guard *g)
{
    event_notifier_cleanup(&g->pipe);
}

void signal_guard_abandon(struct signal_guard *g)
{
    if (g->set) {
        signal_guard_leave(g);
    }
    signal_guard_cleanup(g);
}

int signal_guard_open(struct signal_guard *g, struct fdmon *m)
{
    int ret = event_notifier_init_pipe(&g->pipe);

    if (ret == 0) {
        ret = fdmon_add_own(m, &g->pipe);
    }
    if (ret < 0) {
        signal_guard_cleanup(g);
    }
    return ret;
}

void signal_guard_pass_on(struct signal_guard *g)
{
    char numbers[64];
    ssize_t n;

    if (!event_notifier_is_ours(&g->pipe, g->pipe.rfd)) {
        return;
    }
    while ((n = read(g->pipe.rfd, numbers, sizeof(numbers))) > 0) {
        /* A full fd loses signals, as it does when CPython writes to it. */
        if (g->other >= 0 && write(g->other, numbers, (size_t)n) < 0) {
            return;
        }
    }
}

int signal_guard_enter(struct signal_guard *g)
{
    int ret = 0, other;

    if (!g->set) {
        other = set_wakeup_fd(g, g->pipe.wfd);
        g->set = other == -1;
        g->other = other;
        if (other >= 0) {
            give_back(g, other);
            /* A signal that came between the two has written to our pipe. */
            signal_guard_pass_on(g);
        }
        ret = g->set;
    }
    /* After it is set: what came before is seen here, what comes later writes. */
    if (PyErr_CheckSignals() < 0) {
        if (ret) {
            signal_guard_leave(g);
            signal_guard_pass_on(g);
        }
        return -1;
    }
    return ret;
}

void signal_guard_leave(struct signal_guard *g)
{
    int other = set_wakeup_fd(g, -1);

    if (other >= 0 && other != g->pipe.wfd) {
        give_back(g, other); /* a signal handler has set one of its own */
    }
    g->set = false;
}
