/* SPDX-License-Identifier: MIT
 *
 * What stress_fd_table.c knows of the fds and of a monitor, and how it has what they
 * need refused: no memory, and no fd for another monitor.
 */
#ifndef TPOOL_FD_TABLE_MODEL_H
#define TPOOL_FD_TABLE_MODEL_H

#include "stress.h"
#include "aio/fd_table.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define EPISODES 120 /* of each kind */
#define STEPS    250
#define NUMBERS  10
#define FILES    12
#define REGULAR  (FILES - 1) /* the file that epoll refuses */
#define KEEP_FD  400         /* above all numbers, and above a table of few */
#define RAISED   (-7)
/* Calls at most by an fd that is not open any more: see UNCHECKED_MAX. */
#define BLIND_MAX 63

/* An open file stays open: a number that is closed leaves a ghost in an epoll. */
struct file {
    int keep, other; /* other: makes it ready, or takes that back */
};

struct counted {
    struct fd_handler base;
    struct number *at;
    int file; /* that the monitor reports, -1: none */
    bool vouched;
    int blind; /* calls since it was closed */
    uint64_t serial, set_at;
    uint64_t dispatched, read, written, said, ready; /* the newest such turn */
};

static struct counted *counted(struct fd_handler *base)
{
    return container_of(base, struct counted, base);
}

struct number {
    int fd, file; /* -1: closed */
    struct counted *h;
    bool ghost[FILES]; /* the monitor reports it, and nobody asks for it */
};

/* What was so when the wait began. */
struct seen {
    uint64_t serial; /* 0: no handler */
    uint32_t events;
};

struct turn {
    uint64_t poll, eligible_at, wait_at;
    struct seen seen[NUMBERS];
    bool stale, raised;
    int called;
};

static struct fd_table t;
static struct fdmon m;
static struct fdmon_ops spy; /* those of the kind, watched */
static const struct fdmon_ops *kind;
static struct file files[FILES];
static struct number numbers[NUMBERS];
static struct event_notifier own[FDMON_OWN];
static bool own_set[FDMON_OWN];
static struct turn *cur;
static struct rng r;
static uint64_t now, polls; /* now: counts what happens */
static int live, depth, outer, told;
static bool asked, quiet, in_free;
static uint64_t calls, anews, lost_fds, lost_ghosts, refusals, stale_events;

/* -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=epoll_ctl,
 * --wrap=epoll_create1 */
static uint32_t armed; /* the nth from now is refused */
static bool refused, ctl_refused;
static int no_fds; /* no monitor can be made: why */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);

static bool refuse(void)
{
    if (armed && --armed == 0) {
        refused = true;
        refusals++;
        errno = ENOMEM;
        return true;
    }
    return false;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return refuse() ? NULL : __real_realloc(p, size);
}

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    if (op == EPOLL_CTL_ADD && refuse()) {
        ctl_refused = true;
        return -1;
    }
    return __real_epoll_ctl(epfd, op, fd, ev);
}

int __wrap_epoll_create1(int flags)
{
    errno = no_fds;
    return no_fds ? -1 : __real_epoll_create1(flags);
}

static void arm(void)
{
    refused = ctl_refused = false;
    armed = rng_below(&r, 4) ? 0 : 1 + rng_below(&r, 4);
}

static bool is_epoll(void)
{
    return kind == &fdmon_epoll_ops;
}

/* The file that the monitor reports when it is told to watch a number. */
static int watchable(const struct number *n)
{
    return is_epoll() && n->file == REGULAR ? -1 : n->file;
}

static bool has_ghost(const struct number *n)
{
    for (int i = 0; i < FILES; i++) {
        if (n->ghost[i]) {
            return true;
        }
    }
    return false;
}

static int spy_init(struct fdmon *by)
{
    return no_fds && !is_epoll() ? -no_fds : kind->init(by);
}

static int spy_add(struct fdmon *by, int fd, uint32_t gen, uint32_t events)
{
    told++;
    return kind->add(by, fd, gen, events);
}

static int spy_set(struct fdmon *by, int fd, uint32_t gen, uint32_t events)
{
    told++;
    return kind->set(by, fd, gen, events);
}

static int spy_replace(struct fdmon *by, struct fdmon *anew)
{
    int ret;

    assert(by == &m && anew->ops == by->ops);
    assert(asked || cur->stale);
    ret = kind->replace(by, anew);
    for (int i = 0; ret == 0 && i < NUMBERS; i++) {
        memset(numbers[i].ghost, 0, sizeof(numbers[i].ghost));
        if (numbers[i].h) {
            numbers[i].h->file = watchable(&numbers[i]);
        }
    }
    anews += ret == 0;
    return ret;
}

static void files_open(void)
{
    int fds[2];

    for (int i = 0; i < FILES; i++) {
        if (i == REGULAR) {
            fds[0] = memfd_create("regular", 0);
            fds[1] = -1;
        } else if (i == REGULAR - 1) {
            fds[0] = fds[1] = eventfd(0, EFD_NONBLOCK);
        } else if (i % 3 == 0) {
            assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ==
                   0);
        } else {
            assert(pipe2(fds, O_NONBLOCK) == 0);
        }
        files[i].keep = fcntl(fds[i == 1], F_DUPFD_CLOEXEC, KEEP_FD);
        files[i].other = fds[i != 1];
        if (i == 2) {
            close(fds[1]); /* hung up for ever */
            files[i].other = -1;
        }
        assert(files[i].keep >= KEEP_FD);
        if (fds[1] != fds[0]) {
            close(fds[i == 1]);
        }
    }
}

static short revents(int fd, uint32_t events)
{
    struct pollfd p = {.fd = fd,
                       .events = (short)((events & FDMON_READ ? POLLIN : 0) |
                                         (events & FDMON_WRITE ? POLLOUT : 0))};

    assert(poll(&p, 1, 0) >= 0);
    return p.revents;
}

/* Makes it ready, or ends that; not the one that is hung up, and the regular one. */
static void file_toggle(const struct file *f)
{
    static char page[4096] = {1};
    bool writes = f == &files[1];
    int in = writes ? f->other : f->keep, out = writes ? f->keep : f->other;

    if (f->other < 0) {
        return;
    }
    if (writes ? !revents(out, FDMON_WRITE) : revents(in, FDMON_READ)) {
        while (read(in, page, sizeof(page)) > 0) {
        }
    } else {
        /* A write end is not ready when its pipe is full. */
        while (write(out, page, writes ? sizeof(page) : 8) > 0 && writes) {
        }
    }
}

/* What a wait reports to the handler of n. */
static uint32_t expected(const struct number *n)
{
    short ev;

    if (!n->h || n->h->file < 0) {
        return 0;
    }
    ev = revents(is_epoll() ? files[n->h->file].keep : n->fd,
                 n->h->base.events);
    return (ev & POLLIN ? FDMON_READ : 0) | (ev & POLLOUT ? FDMON_WRITE : 0) |
           (ev & (POLLERR | POLLHUP) ? FDMON_ERROR : 0) |
           (ev & POLLNVAL ? FDMON_INVALID : 0);
}

/* The model's: n has no handler any more.  The monitor may have been told so. */
static void unlink_model(struct number *n, bool is_told)
{
    struct counted *h = n->h;

    n->h = NULL;
    if (h->file >= 0 && !(is_told && (!is_epoll() || h->file == n->file))) {
        n->ghost[h->file] = true;
    }
}

static void check_table(void)
{
    int count = 0, pollable = 0, found = 0;

    for (int i = 0; i < NUMBERS; i++) {
        struct counted *h = numbers[i].h;

        assert(fds_find(&t, numbers[i].fd) == (h ? &h->base : NULL));
        assert(!h || (!h->base.removed && h->base.refs > 0));
        count += h != NULL;
        pollable += h && h->base.pollable;
    }
    for (int fd = 0; fd < t.size; fd++) {
        found += t.by_fd[fd] != NULL;
    }
    assert(t.count == count && found == count && t.pollable == pollable);
    assert(counter_get(&t.blind) == (uint64_t)(count - pollable));
    assert(depth || in_free || live == count);
    assert(m.ops == &spy);
}

static void on_lost(int fd, int err)
{
    struct number *n = numbers;

    if (err != -EBADF) {
        assert(err == -no_fds && !asked && cur->stale);
        lost_ghosts++;
        return;
    }
    while (n->fd != fd) {
        n++;
    }
    assert(n->h && n->h->base.removed && !fds_find(&t, fd));
    /* Closed, when it was seen last at least. */
    assert(is_epoll() ? n->h->file < 0 || n->h->file != n->file
                      : n->file < 0 ||
                            (cur->seen[n - numbers].events & FDMON_INVALID));
    unlink_model(n, true);
    lost_fds++;
}

/* What the wait reports is what the model says, all of it, and ghosts. */
static int wait_now(struct turn *mine, struct fdmon_event events[FDMON_BATCH])
{
    bool reported[NUMBERS] = {false}, own_reported[FDMON_OWN] = {false};
    int n, i;

    for (i = 0; i < NUMBERS; i++) {
        mine->seen[i].serial = numbers[i].h ? numbers[i].h->serial : 0;
        mine->seen[i].events = expected(&numbers[i]);
    }
    mine->wait_at = ++now;
    arm();
    n = fdmon_wait(&m, 0, events);
    armed = 0;
    assert(n >= 0 ? !refused : n == -ENOMEM && refused && !is_epoll());
    for (int k = 0; k < n; k++) {
        if (events[k].gen == 0) {
            for (i = 0; own[i].rfd != events[k].fd; i++) {
            }
            own_reported[i] = true;
            continue;
        }
        for (i = 0; numbers[i].fd != events[k].fd; i++) {
        }
        if (numbers[i].h && numbers[i].h->base.gen == events[k].gen) {
            assert(!reported[i] && events[k].events == mine->seen[i].events);
            reported[i] = true;
        } else {
            assert(has_ghost(&numbers[i]));
            mine->stale = true;
            stale_events++;
        }
    }
    for (i = 0; n >= 0 && i < NUMBERS; i++) {
        assert(reported[i] == (mine->seen[i].events != 0));
    }
    for (i = 0; n >= 0 && i < FDMON_OWN; i++) {
        assert(own_reported[i] == own_set[i]);
    }
    assert(n < 0 || outer < 0 || m.haunted ||
           (revents(outer, FDMON_READ) != 0) == (n > 0));
    return n;
}

/* Who was there before the turn, and was reported, has been called. */
static void check_called(const struct turn *mine)
{
    for (int i = 0; i < NUMBERS; i++) {
        const struct seen *seen = &mine->seen[i];
        struct counted *h = numbers[i].h;

        if (!h || h->serial != seen->serial || h->set_at > mine->eligible_at ||
            h->dispatched > mine->poll || h->ready > mine->poll) {
            continue; /* a nested turn has dealt with it */
        }
        assert(!(seen->events & FDMON_INVALID));
        assert(!(seen->events & (FDMON_READ | FDMON_ERROR)) ||
               h->read == mine->poll || h->ready == mine->poll);
        assert(!(seen->events & (FDMON_WRITE | FDMON_ERROR)) ||
               h->written == mine->poll);
    }
}

static void begin_anew(void)
{
    uint64_t before = anews;
    int ret;

    arm();
    asked = true;
    ret = fds_begin_anew(&t, &m);
    asked = false;
    armed = 0;
    assert(m.ops == &spy);
    if (ret == 0) {
        assert(!refused && anews == before + 1 && !m.haunted);
    } else {
        assert(anews == before && ret == (refused ? -ENOMEM : -no_fds));
    }
}

#endif
