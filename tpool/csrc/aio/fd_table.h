/* SPDX-License-Identifier: MIT
 *
 * The fd handlers of a context.  Context acquired for all of it.
 */
#ifndef TPOOL_AIO_FD_TABLE_H
#define TPOOL_AIO_FD_TABLE_H

#include "aio/fdmon.h"

struct fd_handler;

/* Those that return an int: 0, or AIO_RAISED. */
struct fd_handler_ops {
    int (*read)(struct fd_handler *h); /* or in error */
    int (*write)(struct fd_handler *h);
    /* In a poll phase, where the handler is pollable: 1 if it is ready. */
    int (*poll)(struct fd_handler *h);
    int (*poll_begin)(struct fd_handler *h);
    int (*poll_end)(struct fd_handler *h); /* the language may have raised */
    int (*poll_ready)(struct fd_handler *h);
    void (*free)(struct fd_handler *h);
};

struct fd_handler {
    /* Immutable after init. */
    const struct fd_handler_ops *ops;
    int fd;
    uint32_t events;  /* that are asked for; not 0 */
    bool pollable;    /* poll() tells whether it is ready: no blind one */
    bool polled_only; /* it may be an fd that cannot be waited for */
    /* The table's. */
    bool removed;
    bool vouched;      /* of fds_set() */
    uint8_t unchecked; /* events until the fd is asked whether it is open */
    int refs;
    uint32_t gen;
    uint64_t since;  /* waits begun before this many removals are not its own */
    uint64_t polled; /* the newest turn whose poll() said so: its number */
    uint64_t served; /* the newest turn that has called it */
    int64_t poll_ns; /* window of this source */
};

struct fd_table {
    struct fd_handler **by_fd; /* size entries, NULL: none */
    int size;
    /* Nobody hears of fd any more: says so. */
    void (*lost)(int fd, int err);
    uint32_t gen;      /* of the newest registration; 0 is that of its own */
    uint64_t removals; /* ever: tells whether an event may be stale */
    int count;
    int pollable; /* handlers that are */
    /* Written with the context acquired, read by any thread. */
    counter64 blind; /* handlers that are not: poll_disable_cnt */
};

void fds_cleanup(struct fd_table *t);

/* Forgets all and drops nothing; a dispatch that runs finds no more handlers. */
void fds_abandon(struct fd_table *t);

/* The handler of fd, or NULL. */
struct fd_handler *fds_find(const struct fd_table *t, int fd);

/*
 * Registers h, in the place of another of its fd.  vouched: the fd is closed by nobody
 * until it is removed, as asyncio has it: no system call then but those of a selector.
 * Takes the reference to h over.  Returns 0 or -errno, the table as before.
 */
int fds_set(struct fd_table *t, struct fdmon *m, struct fd_handler *h,
            bool vouched);

/* Removes fd, if it is there; forget: and tells no monitor. */
void fds_remove(struct fd_table *t, struct fdmon *m, int fd);
void fds_forget(struct fd_table *t, int fd);

/* References to the handlers that are pollable, ended by NULL; NULL: no memory. */
struct fd_handler **fds_pollable(struct fd_table *t);
void fds_unref_all(struct fd_handler **handlers);

/* Another monitor takes the place of m, with the same in it.  0 or -errno. */
int fds_begin_anew(struct fd_table *t, struct fdmon *m);

/*
 * epoll reports fd, which nobody has asked for: has it forget that.  Where that is
 * impossible it is said so, and m is haunted until fds_begin_anew() succeeds, which
 * each turn tries.
 */
void fds_drop_ghost(struct fd_table *t, struct fdmon *m, int fd);

/*
 * Has those dispatch whose poll() said so in this turn.  poll: its number; what a
 * nested turn has served since is left to the next look, as in fds_dispatch().  Returns
 * 0 or AIO_RAISED.
 */
int fds_dispatch_polled(struct fd_handler **pollable, uint64_t poll,
                        bool *progress);

/*
 * Calls what events ask for, but for reading what poll() has found already.  removals:
 * of the table, before the wait.
 */
int fds_dispatch(struct fd_table *t, struct fdmon *m,
                 const struct fdmon_event *events, int n, uint64_t poll,
                 uint64_t removals, bool *progress);

#endif
