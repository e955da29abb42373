/* SPDX-License-Identifier: MIT
 *
 * See py_signals.h.
 */
#include "py_signals.h"

#include <fcntl.h>
#include <unistd.h>

void signal_guard_init(struct signal_guard *g)
{
    g->rfd = g->wfd = -1;
    g->set = false;
}

void signal_guard_cleanup(struct signal_guard *g)
{
    if (g->rfd >= 0) {
        close(g->rfd);
        close(g->wfd);
    }
    signal_guard_init(g);
}

int signal_guard_register(struct signal_guard *g, struct fdmon *m)
{
    /* Generation 0, as the notifier: it is no progress. */
    return g->rfd < 0 ? 0 : fdmon_set(m, g->rfd, 0, FDMON_READ);
}

int signal_guard_open(struct signal_guard *g, struct fdmon *m)
{
    int fds[2], ret;

    if (pipe(fds) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK);
    }
    g->rfd = fds[0];
    g->wfd = fds[1];
    ret = signal_guard_register(g, m);
    if (ret < 0) {
        signal_guard_cleanup(g);
    }
    return ret;
}

int signal_guard_enter(struct signal_guard *g)
{
    int ret = 0, other;

    if (!g->set) {
        other = PySignal_SetWakeupFd(g->wfd);
        g->set = other == -1;
        if (!g->set) {
            PySignal_SetWakeupFd(other);
        }
        ret = g->set;
    }
    /* After it is set: what came before is seen here, what comes later writes. */
    if (PyErr_CheckSignals() < 0) {
        if (ret) {
            signal_guard_leave(g);
        }
        return -1;
    }
    return ret;
}

void signal_guard_leave(struct signal_guard *g)
{
    char buffer[64];
    int other = PySignal_SetWakeupFd(-1);

    if (other != g->wfd) { /* a signal handler has set one of its own */
        PySignal_SetWakeupFd(other);
    }
    g->set = false;
    while (read(g->rfd, buffer, sizeof(buffer)) == (ssize_t)sizeof(buffer)) {
    }
}
