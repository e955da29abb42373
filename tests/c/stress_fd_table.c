/* SPDX-License-Identifier: MIT
 *
 * The fd handlers against a plain model of what is registered where: changes from
 * everywhere, also from inside a batch, numbers that are closed and used again behind
 * the table's back, and every allocation refused.  With both kinds of monitor.
 */
#include "fd_table_model.h"

static void turn(void);
static void change(struct number *n);

/* What callbacks do. */
static int act(struct number *n)
{
    uint32_t what = quiet ? 0 : rng_below(&r, 16);

    for (uint32_t i = 10; i < what && i < 14; i++) {
        change(rng_below(&r, 2) ? n : &numbers[rng_below(&r, NUMBERS)]);
    }
    if (what == 1 && depth < 3) {
        turn();
    }
    return what == 2 && rng_below(&r, 4) == 0 ? RAISED : 0;
}

static void act_elsewhere(void)
{
    if (!quiet && rng_below(&r, 2)) {
        change(&numbers[rng_below(&r, NUMBERS)]);
    }
}

static int call(struct counted *h, uint32_t events)
{
    struct turn *mine = cur;
    struct seen *seen = &mine->seen[h->at - numbers];
    int ret;

    calls++;
    assert(h->at->h == h && fds_find(&t, h->base.fd) == &h->base);
    /* It was there before the wait, which has reported that of its file. */
    assert(seen->serial == h->serial && h->set_at < mine->wait_at);
    assert(seen->events & events);
    if (!is_epoll() || h->file == h->at->file) {
        h->blind = 0;
    } else if (h->dispatched != mine->poll) {
        assert(++h->blind <= BLIND_MAX);
        assert(h->vouched || h->dispatched || h->ready); /* looked at once */
    }
    h->dispatched = mine->poll;
    mine->called++;
    ret = act(h->at);
    mine->raised = ret < 0;
    return ret;
}

static int on_read(struct fd_handler *base)
{
    struct counted *h = counted(base);

    assert(!cur->raised && !base->removed);
    assert(h->dispatched < cur->poll && h->ready < cur->poll);
    h->read = cur->poll;
    return call(h, FDMON_READ | FDMON_ERROR);
}

static int on_write(struct fd_handler *base)
{
    struct counted *h = counted(base);

    assert(!cur->raised);
    if (base->removed) {
        assert(h->dispatched == cur->poll); /* by its own on_read() */
        return 0;
    }
    assert(h->dispatched <= cur->poll && h->ready <= cur->poll);
    h->written = cur->poll;
    return call(h, FDMON_WRITE | FDMON_ERROR);
}

static int on_ready(struct fd_handler *base)
{
    struct counted *h = counted(base);

    assert(!cur->raised && h->said == cur->poll && h->ready < cur->poll);
    assert(base->pollable && base->removed == (h->at->h != h));
    h->ready = cur->poll;
    if (base->removed) {
        return 0;
    }
    cur->called++;
    cur->raised = act(h->at) < 0;
    return cur->raised ? RAISED : 0;
}

/* Runs code that changes the table, as a destructor may. */
static void on_free(struct fd_handler *base)
{
    struct counted *h = counted(base);
    bool was_refused = refused, was_ctl_refused = ctl_refused;
    int was_told = told;
    struct number *other = &numbers[rng_below(&r, NUMBERS)];

    assert(h->base.refs == 0);
    live--;
    if (base->removed && !in_free && !quiet && other != h->at) {
        in_free = true;
        armed = 0;
        change(other);
        in_free = false;
        told = was_told;
        refused = was_refused;
        ctl_refused = was_ctl_refused;
    }
    free(h);
}

static const struct fd_handler_ops ops = {
    .read = on_read,
    .write = on_write,
    .poll_ready = on_ready,
    .free = on_free,
};

static struct counted *handler_new(struct number *n)
{
    struct counted *old = n->h, *h = __real_calloc(1, sizeof(*h));

    assert(h);
    live++;
    h->at = n;
    h->file = watchable(n);
    h->base.ops = &ops;
    h->base.fd = n->fd;
    h->base.events = old && rng_below(&r, 2) ? old->base.events
                                             : 1 + rng_below(&r, 3);
    h->base.pollable = rng_below(&r, 2);
    h->base.polled_only = rng_below(&r, 2);
    h->vouched = n->file >= 0 && rng_below(&r, 2);
    h->serial = h->set_at = ++now;
    return h;
}

static void set(struct number *n)
{
    struct number before = *n;
    struct counted *old = n->h, *h = handler_new(n);
    bool same = h->vouched && old && old->vouched &&
                old->base.events == h->base.events;
    int64_t poll_ns = old ? old->base.poll_ns : 0;
    int expect = n->file < 0                                    ? -EBADF
                 : h->file < 0 && !h->base.polled_only && !same ? -EPERM
                                                                : 0;
    int ret, told_before = told, live_before = live;

    n->h = h;
    if (!same) {
        if (!is_epoll()) {
            memset(n->ghost, 0, sizeof(n->ghost));
        } else if (old && old->file >= 0) {
            n->ghost[old->file] = true; /* but where it is the same file */
        }
        if (n->file >= 0) {
            n->ghost[n->file] = false;
        }
    }
    arm();
    armed = expect < 0 ? 0 : armed;
    ret = fds_set(&t, &m, &h->base, h->vouched);
    armed = 0;
    if (ret == 0) {
        /* A promise is what it takes for the monitor not to be told. */
        assert(expect == 0 && !refused && same == (told == told_before));
        if (fds_find(&t, n->fd) == &h->base) {
            assert(h->base.poll_ns == poll_ns);
            h->base.poll_ns = 1 + rng_below(&r, 1000);
        }
        return;
    }
    /* The table is as before.  What nobody wanted may be forgotten. */
    assert(ret == (refused ? -ENOMEM : expect) && live == live_before - 1);
    *n = before;
    if (refused && !ctl_refused) {
        memset(n->ghost, 0, is_epoll() ? 0 : sizeof(n->ghost));
        n->ghost[n->file] = false;
    }
}

static void take_away(struct number *n)
{
    if (n->h) {
        unlink_model(n, true);
    }
    fds_remove(&t, &m, n->fd);
}

static void forget(struct number *n)
{
    if (n->h) {
        unlink_model(n, false);
    }
    fds_forget(&t, n->fd);
}

/* The number of no file, or of another one, and nobody has told the table. */
static void stand_for(struct number *n, int file)
{
    if (n->h && (n->h->vouched || (is_epoll() && file >= 0 && n->ghost[file] &&
                                   n->h->file != file))) {
        return; /* promised not to be; or nobody can tell it from the ghost */
    }
    n->file = file;
    if (file >= 0) {
        assert(dup2(files[file].keep, n->fd) == n->fd);
    } else {
        close(n->fd);
    }
}

static void drop_all(void)
{
    struct fd_table rest = {.by_fd = t.by_fd, .size = t.size};
    int live_before = live;

    for (int i = 0; i < NUMBERS; i++) {
        if (numbers[i].h) {
            unlink_model(&numbers[i], false);
        }
    }
    if (rng_below(&r, 2)) {
        fds_abandon(&t);
        assert(live == live_before && !t.by_fd);
        fds_cleanup(&rest);
    } else {
        fds_cleanup(&t);
    }
}

static void change(struct number *n)
{
    static const int reasons[] = {0, 0, EMFILE, ENOSYS};
    uint32_t what = rng_below(&r, 66), i;

    if (what < 20) {
        set(n);
    } else if (what < 28) {
        take_away(n);
    } else if (what < 32) {
        forget(n);
    } else if (what < 42) {
        stand_for(n, (int)rng_below(&r, FILES));
    } else if (what < 46) {
        stand_for(n, -1);
    } else if (what < 58) {
        file_toggle(&files[rng_below(&r, FILES)]);
    } else if (what < 62) {
        i = rng_below(&r, FDMON_OWN);
        own_set[i] = own[i].rfd >= 0 && !own_set[i];
        if (own_set[i]) {
            event_notifier_set(&own[i]);
        } else if (own[i].rfd >= 0) {
            event_notifier_drain(&own[i]);
        }
    } else if (what < 64) {
        begin_anew();
    } else if (what < 65) {
        no_fds = reasons[rng_below(&r, 4)];
    } else if (rng_below(&r, 4) == 0) {
        drop_all();
    }
}

/* Those whose poll() says so are called, each once, and not for reading too. */
static int dispatch_polled(struct turn *mine, struct fd_handler **pollable,
                           bool *progress)
{
    int ret;

    for (int i = 0; pollable[i]; i++) {
        if (rng_below(&r, 2)) {
            pollable[i]->polled = mine->poll;
            counted(pollable[i])->said = mine->poll;
        }
    }
    ret = fds_dispatch_polled(pollable, mine->poll, progress);
    for (int i = 0; ret == 0 && pollable[i]; i++) {
        struct counted *h = counted(pollable[i]);

        assert(h->said != mine->poll || h->ready >= mine->poll ||
               h->dispatched > mine->poll);
    }
    return ret;
}

static void turn(void)
{
    struct turn mine = {.poll = ++polls}, *above = cur;
    struct fdmon_event events[FDMON_BATCH];
    struct fd_handler **pollable;
    uint64_t removals, anew_before, ghosts_before;
    bool progress = false, was_haunted;
    int n, ret = 0;

    depth++;
    cur = &mine;
    if (m.haunted) {
        begin_anew();
    }
    arm();
    pollable = fds_pollable(&t);
    armed = 0;
    assert(refused == !pollable);
    for (n = 0; pollable && pollable[n]; n++) {
        assert(pollable[n]->pollable && !pollable[n]->removed);
    }
    assert(!pollable || n == t.pollable);
    removals = t.removals;
    mine.eligible_at = ++now;
    /* Other threads can change the table here, and while the wait goes on. */
    act_elsewhere();
    n = wait_now(&mine, events);
    act_elsewhere();
    anew_before = anews;
    was_haunted = m.haunted;
    ghosts_before = lost_ghosts;
    if (pollable && n >= 0) {
        ret = dispatch_polled(&mine, pollable, &progress);
    }
    if (ret == 0 && n >= 0) {
        ret = fds_dispatch(&t, &m, events, n, mine.poll, removals, &progress);
    }
    assert(ret == (mine.raised ? RAISED : 0) && (progress || !mine.called));
    if (ret == 0 && n >= 0) {
        check_called(&mine);
        /* What cannot be called is got rid of, or said to stay. */
        assert(!mine.stale || t.removals != removals || anews > anew_before ||
               was_haunted ||
               (lost_ghosts > ghosts_before && m.haunted == is_epoll()));
    }
    if (pollable) {
        fds_unref_all(pollable);
    }
    cur = above;
    depth--;
}

static void episode_begin(const struct fdmon_ops *ops_of)
{
    static const int fds[NUMBERS] = {60, 61, 62, 63, 64, 65, 66, 127, 128, 300};

    kind = ops_of;
    spy = *kind;
    spy.init = spy_init;
    spy.add = spy_add;
    spy.set = spy_set;
    spy.replace = spy_replace;
    memset(&t, 0, sizeof(t));
    t.lost = on_lost;
    t.gen = UINT32_MAX - rng_below(&r, 100); /* it wraps around */
    assert(fdmon_init_as(&m, &spy) == 0);
    for (int i = 0; i < FDMON_OWN; i++) {
        own[i].rfd = own[i].wfd = -1; /* but for the first: may be missing */
        own_set[i] = false;
        if (i == 0 || rng_below(&r, 4) != 0) {
            assert(event_notifier_init(&own[i], false) == 0);
            assert(fdmon_add_own(&m, &own[i]) == 0);
        }
    }
    outer = is_epoll() && rng_below(&r, 2) ? fdmon_fileno(&m) : -1;
    for (int i = 0; i < NUMBERS; i++) {
        numbers[i] = (struct number){.fd = fds[i], .file = -1};
        stand_for(&numbers[i], (int)rng_below(&r, FILES));
    }
}

static void episode_end(void)
{
    no_fds = 0;
    quiet = true;
    drop_all();
    assert(live == 0);
    for (int i = 0; i < NUMBERS; i++) {
        if (numbers[i].file >= 0) {
            close(numbers[i].fd);
        }
    }
    assert(outer < 0 || fdmon_fileno(&m) == outer);
    fdmon_cleanup(&m);
    for (int i = 0; i < FDMON_OWN; i++) {
        event_notifier_cleanup(&own[i]);
    }
    quiet = false;
}

static void episode(const struct fdmon_ops *ops_of)
{
    int free_fd = dup(0), free_fd_after;

    close(free_fd);
    episode_begin(ops_of);
    for (int step = 0; step < STEPS; step++) {
        if (rng_below(&r, 2)) {
            turn();
        } else {
            change(&numbers[rng_below(&r, NUMBERS)]);
        }
        quiet = rng_below(&r, STEPS / 2) == 0;
        for (int i = 0; quiet && i <= BLIND_MAX; i++) {
            turn(); /* as many as it takes to see what was closed */
        }
        quiet = false;
        check_table();
    }
    episode_end();
    free_fd_after = dup(0);
    assert(free_fd_after == free_fd);
    close(free_fd_after);
}

int main(int argc, char **argv)
{
    uint64_t episodes = count_arg(argc, argv, EPISODES);

    rng_init(&r, seed_arg(argc, argv));
    files_open();
    for (uint64_t i = 0; i < episodes; i++) {
        episode(&fdmon_epoll_ops);
        episode(&fdmon_poll_ops);
    }
    assert(anews && lost_fds && lost_ghosts && refusals && stale_events);
    printf("fd_table: %llu calls, %llu stale events, %llu anew, %llu + %llu "
           "lost, %llu refused\n",
           (unsigned long long)calls, (unsigned long long)stale_events,
           (unsigned long long)anews, (unsigned long long)lost_fds,
           (unsigned long long)lost_ghosts, (unsigned long long)refusals);
    return 0;
}
