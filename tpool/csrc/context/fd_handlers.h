/* SPDX-License-Identifier: MIT
 *
 * The fd handlers of a context.  Context acquired for all of it.
 */
#ifndef TPOOL_CONTEXT_FD_HANDLERS_H
#define TPOOL_CONTEXT_FD_HANDLERS_H

#include "aio/fdmon.h"
#include "py/signals.h"
#include "py/state.h"

enum handler_callback {
    IO_READ,
    IO_WRITE,
    IO_POLL,
    IO_POLL_READY,
    IO_POLL_BEGIN,
    IO_POLL_END,
    HANDLER_CALLBACKS
};

struct fd_handler {
    int refs;
    int fd;
    uint32_t gen;
    bool removed;
    uint8_t unchecked; /* events until the fd is asked whether it is open */
    uint64_t since;  /* waits begun before this many removals are not its own */
    uint64_t polled; /* the newest turn whose io_poll said so: its poll() */
    uint64_t served; /* the newest turn that has called it */
    int64_t poll_ns; /* window of this source */
    PyObject *callbacks[HANDLER_CALLBACKS]; /* NULL: none */
    PyObject *keep;                         /* whatever owns the fd, or NULL */
};

struct handler_table {
    struct fd_handler **by_fd; /* size entries, NULL: none */
    int size;
    const struct event_notifier *notifier; /* registered with generation 0 */
    struct signal_guard *signals;          /* so is its pipe */
    uint32_t gen;      /* of the newest registration; 0 is the notifier's */
    uint64_t removals; /* ever: tells whether an event may be stale */
    int count;
    int pollable; /* handlers with io_poll */
    /* Written with the context acquired, read by any thread. */
    counter64 blind; /* handlers without io_poll: poll_disable_cnt */
};

void handlers_cleanup(struct handler_table *t);

/* Forgets all and drops nothing; a dispatch that runs finds no more handlers. */
void handlers_abandon(struct handler_table *t);
int handlers_traverse(struct handler_table *t, visitproc visit, void *arg);

/* The handler of fd, or NULL. */
struct fd_handler *handlers_find(const struct handler_table *t, int fd);

/* The fd that was registered with keep, or -1. */
int handlers_fd_of(const struct handler_table *t, const PyObject *keep);

/*
 * Registers, changes, or (all NULL) removes.  keep is given a reference.  vouched:
 * fd is closed by nobody until it is removed, as asyncio has it: no system call
 * then but those of a selector.  Returns 0 or -errno, the table as before.
 */
int handlers_set(struct handler_table *t, struct fdmon *m, int fd,
                 PyObject *const callbacks[HANDLER_CALLBACKS], PyObject *keep,
                 bool vouched);

/* Removes fd, if it is there, and tells no monitor. */
void handlers_forget(struct handler_table *t, int fd);

/* Sets io_poll_begin and io_poll_end of a registered fd; -ENOENT: it is not. */
int handlers_set_poll(struct handler_table *t, int fd, PyObject *begin,
                      PyObject *end);

/* References to the handlers with io_poll, ended by NULL; NULL: no memory. */
struct fd_handler **handlers_pollable(struct handler_table *t);
void handlers_unref_all(struct fd_handler **handlers);

/* Registers all that is in the table in a monitor of its own.  0 or -errno. */
int handlers_begin_anew(struct handler_table *t, struct fdmon *m);

/*
 * epoll reports fd, which nobody has asked for: has it forget that.  Where that is
 * impossible it is said so, and m is haunted until handlers_begin_anew() succeeds,
 * which each turn tries.
 */
void handlers_drop_ghost(struct handler_table *t, struct fdmon *m, int fd);

/* Calls one callback, if there is one: 1 true, 0 false, -1 fatal exception. */
int handler_call(struct fd_handler *h, enum handler_callback which);

/*
 * Calls one callback of the first n, whatever is raised; raised: an exception is set,
 * and is kept unless a later one comes.  Returns 0, or -1 with a new exception.
 */
int handlers_call_all(struct fd_handler **handlers, int n,
                      enum handler_callback which, bool raised);

/*
 * Calls io_poll_ready, or io_read, of those whose io_poll said so in this turn.
 * poll: its number; what a nested turn has served since is left to the next look, as
 * in handlers_dispatch().  Returns 0, or -1 with an exception that must leave
 * poll().
 */
int handlers_dispatch_polled(struct fd_handler **pollable, uint64_t poll,
                             bool *progress);

/*
 * Calls what events ask for, but for reading what io_poll has found already.
 * removals: of the table, before the wait.
 */
int handlers_dispatch(struct handler_table *t, struct fdmon *m,
                      const struct fdmon_event *events, int n, uint64_t poll,
                      uint64_t removals, bool *progress);

#endif
