/* SPDX-License-Identifier: MIT
 *
 * See simple_queue.h.
 */
#include "pool/simple_queue.h"
#include "py/gil_turns.h"

/* One that waits, in its thread's stack. */
struct getter {
    struct getter *next, *prev;
    bool listed;
    bool set; /* taken off the list for an object */
    _Atomic uint32_t word;
    struct word_wait wait;
};

/* The turn of who puts stands in the user's bits of the word. */
#define TURN_MASK (UINT32_MAX / WORD_USER)

void simple_queue_init(SimpleQueueObject *self, struct module_state *state,
                       int64_t poll_max_ns)
{
    self->state = state;
    self->items = RING_EMPTY;
    /* Relaxed: this process has made it. */
    self->forks = atomic_load_explicit(&state->forks, memory_order_relaxed);
    word_waits_init(&self->waits, &state->pollers, poll_max_ns);
}

void simple_queue_cleanup(SimpleQueueObject *self)
{
    ring_cleanup(&self->items);
    word_waits_cleanup(&self->waits);
}

static void unlist(SimpleQueueObject *self, struct getter *g)
{
    *(g->prev ? &g->prev->next : &self->first) = g->next;
    *(g->next ? &g->next->prev : &self->last) = g->prev;
    g->listed = false;
}

static void list(SimpleQueueObject *self, struct getter *g)
{
    bool front = g->wait.polls;

    g->prev = front ? NULL : self->last;
    g->next = front ? self->first : NULL;
    *(g->prev ? &g->prev->next : &self->first) = g;
    *(g->next ? &g->next->prev : &self->last) = g;
    g->listed = true;
}

/*
 * In the child of a fork those who waited are not there; nor are they when Python ends:
 * a thread that asks for the GIL then is gone, and its stack with it.
 */
static void forget_dead(SimpleQueueObject *self)
{
    uint32_t forks = atomic_load_explicit(&self->state->forks,
                                          memory_order_relaxed);

    if (self->forks != forks) {
        self->forks = forks;
        self->first = self->last = NULL;
        word_waits_init(&self->waits, &self->state->pollers,
                        self->waits.tuning.params.max_ns);
    } else if (Py_IsFinalizing()) {
        self->first = self->last = NULL;
    }
}

/* Sends the first getter for an object.  Its word, if it has to be woken. */
static _Atomic uint32_t *send_getter(SimpleQueueObject *self)
{
    struct getter *g;
    bool sleeps;

    forget_dead(self);
    g = self->first;
    if (!g) {
        return NULL;
    }
    unlist(self, g);
    g->set = true;
    sleeps = word_set(&self->waits, &g->word,
                      (gil_turn(self->state) & TURN_MASK) * WORD_USER,
                      word_pollers_take_lag(&self->state->pollers));
    return sleeps ? &g->word : NULL;
}

/* The stack that the word is in may be gone; it is an address. */
SELDOM static void wake_getter(SimpleQueueObject *self, _Atomic uint32_t *word)
{
    word_wake(&self->waits, word);
}

int simple_queue_put(SimpleQueueObject *self, PyObject *item)
{
    _Atomic uint32_t *word = NULL;
    int ret;

    Py_BEGIN_CRITICAL_SECTION(self);
    ret = ring_push(&self->items, item);
    if (ret == 0) {
        Py_INCREF(item);
        word = self->first ? send_getter(self) : NULL;
    }
    Py_END_CRITICAL_SECTION();
    if (ret < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (word) {
        wake_getter(self, word);
    }
    return 0;
}

PyObject *simple_queue_pop(SimpleQueueObject *self)
{
    PyObject *item;

    Py_BEGIN_CRITICAL_SECTION(self);
    item = ring_pop(&self->items);
    Py_END_CRITICAL_SECTION();
    return item;
}

/* An object, or NULL: then it is in the list.  again: it goes on with its wait. */
static PyObject *pop_or_list(SimpleQueueObject *self, struct getter *g,
                             int64_t deadline_ns, bool again)
{
    PyObject *item;

    Py_BEGIN_CRITICAL_SECTION(self);
    forget_dead(self);
    item = ring_pop(&self->items);
    if (!item) {
        if (!again) {
            g->set = false;
            atomic_init(&g->word, 0);
            word_wait_begin(&self->waits, &g->wait, &g->word, deadline_ns,
                            _PyOS_IsMainThread());
        }
        list(self, g);
    }
    Py_END_CRITICAL_SECTION();
    return item;
}

/* Without the GIL.  As word_wait(). */
static int wait_for_word(SimpleQueueObject *self, struct getter *g)
{
    int ret;

    Py_BEGIN_ALLOW_THREADS
    gil_turn_end(self->state);
    ret = word_wait(&self->waits, &g->wait);
    /* Who has slept comes so late that the GIL is free, if it is going to be. */
    if (ret == 1 && !g->wait.slept && !word_waits_are_shared(&self->waits)) {
        gil_turn_await(self->state,
                       atomic_load_explicit(&g->word, memory_order_relaxed) /
                           WORD_USER,
                       TURN_MASK);
    }
    Py_END_ALLOW_THREADS
    return ret;
}

/* Leaves the list, if nobody has taken it off. */
static void leave_list(SimpleQueueObject *self, struct getter *g)
{
    Py_BEGIN_CRITICAL_SECTION(self);
    if (g->listed) {
        unlist(self, g);
    }
    Py_END_CRITICAL_SECTION();
}

/* It was sent for an object, perhaps, and will not take it. */
static void send_another(SimpleQueueObject *self, const struct getter *g)
{
    _Atomic uint32_t *word = NULL;

    Py_BEGIN_CRITICAL_SECTION(self);
    if (g->set && self->items.count && self->first) {
        word = send_getter(self);
    }
    Py_END_CRITICAL_SECTION();
    if (word) {
        wake_getter(self, word);
    }
}

/* Waits for an object until the deadline.  NULL without an exception: there is none. */
static PyObject *wait_for_item(SimpleQueueObject *self, int64_t deadline_ns)
{
    struct getter g;
    PyObject *item;
    bool again = false;
    int ret;

    for (;;) {
        item = pop_or_list(self, &g, deadline_ns, again);
        if (item) {
            return item;
        }
        ret = wait_for_word(self, &g);
        leave_list(self, &g);
        /* Before it takes anything: what it has is lost if a handler raises. */
        if (PyErr_CheckSignals() < 0) {
            send_another(self, &g);
            return NULL;
        }
        if (ret == 0) {
            return simple_queue_pop(self);
        }
        again = ret == -EINTR && !g.set;
    }
}

/* There is none now. */
SELDOM static PyObject *get_later(SimpleQueueObject *self, bool block,
                                  int64_t timeout_ns)
{
    PyObject *item = NULL;

    if (block) {
        item = wait_for_item(self, deadline_in_ns(timeout_ns));
    }
    if (!item && !PyErr_Occurred()) {
        PyErr_SetNone(self->state->queue_empty);
    }
    return item;
}

PyObject *simple_queue_get(SimpleQueueObject *self, bool block,
                           int64_t timeout_ns)
{
    PyObject *item = simple_queue_pop(self);

    return item ? item : get_later(self, block, timeout_ns);
}

size_t simple_queue_count(SimpleQueueObject *self)
{
    size_t n;

    Py_BEGIN_CRITICAL_SECTION(self);
    n = self->items.count;
    Py_END_CRITICAL_SECTION();
    return n;
}
