/* SPDX-License-Identifier: MIT
 *
 * See ring_object.h.
 */
#include "ring/ring_object.h"
#include "shm/ring_reader.h"
#include "shm/ring_writer.h"

/* What an act is given to send, or to put what it has received into. */
struct parcel {
    const void *data;
    size_t length;
    PyObject *message;
    struct ring_message *front;
    uint64_t view;
};

static int send(struct ring_end *e, void *arg, struct ring_want *want)
{
    const struct parcel *p = arg;

    return ring_write(e, p->data, p->length, want);
}

static struct ring_side *side_of_end(struct ring_end *e)
{
    return container_of(e, struct ring_side, end);
}

static int receive(struct ring_end *e, void *arg, struct ring_want *want)
{
    struct parcel *p = arg;
    struct ring_message m;
    int ret = side_of_end(e)->viewed ? -EALREADY : ring_read(e, &m, want);

    if (ret == 1) {
        /* Not before it moves is the message the writer's to overwrite. */
        p->message = PyBytes_FromStringAndSize((const char *)m.data, m.length);
        if (!p->message) {
            return -ENOMEM;
        }
        ring_end_move(e, m.next);
    }
    return ret;
}

static int view(struct ring_end *e, void *arg, struct ring_want *want)
{
    struct parcel *p = arg;
    struct ring_side *s = side_of_end(e);
    int ret = s->viewed ? -EALREADY : ring_read(e, p->front, want);

    if (ret == 1) {
        p->view = s->viewed = ++s->views;
    }
    return ret;
}

static int arm(struct ring_end *e, void *Py_UNUSED(arg), struct ring_want *want)
{
    int ret = ring_end_arm(e, want);

    return ret < 0 ? ret : !ret;
}

static int disarm(struct ring_end *e, void *Py_UNUSED(arg),
                  struct ring_want *Py_UNUSED(want))
{
    ring_end_disarm(e);
    return 0;
}

static int check(struct ring_end *e, void *rarely,
                 struct ring_want *Py_UNUSED(want))
{
    return ring_end_check(e, rarely != NULL);
}

/* What is waited for has come about, or one of the others has gone. */
static int has_moved(struct ring_end *e, void *Py_UNUSED(arg),
                     struct ring_want *want)
{
    bool moved = ring_end_has(e, want);

    for (uint32_t n = 0; n < e->n_peers && !moved; n++) {
        moved = !ring_end_peer_is_there(e, n);
    }
    return moved;
}

/* Critical section.  The sides are this process's. */
static int enter(RingObject *self)
{
    uint32_t forks = atomic_load_explicit(&self->state->forks,
                                          memory_order_relaxed);

    if (self->forks != forks) {
        if (ring_side_after_fork(&self->writer) < 0 ||
            ring_side_after_fork(&self->reader) < 0) {
            return -ENOMEM;
        }
        self->forks = forks;
    }
    return self->closed ? -ESHUTDOWN : 0;
}

/* Critical section. */
static int open_and_act(RingObject *self, struct ring_side *s, ring_act *act,
                        void *arg, struct ring_want *want)
{
    int ret = enter(self);

    ret = ret ? ret
              : ring_side_open(s, &self->memory, &self->state->pollers,
                               self->poll_max_ns);
    return ret ? ret : ring_side_act(s, act, arg, want);
}

static int act_once(RingObject *self, struct ring_side *s, ring_act *act,
                    void *arg, struct ring_want *want)
{
    int ret;

    Py_BEGIN_CRITICAL_SECTION(self);
    ret = open_and_act(self, s, act, arg, &s->want);
    *want = s->want;
    Py_END_CRITICAL_SECTION();
    return ret;
}

/*
 * As act_once().  Where it returns 0 the caller is a waiter, until end_waiter(): nobody can
 * close it in between, and take the memory away.
 */
static int act_or_wait(RingObject *self, struct ring_side *s, ring_act *act,
                       void *arg, struct ring_want *want)
{
    int ret;

    Py_BEGIN_CRITICAL_SECTION(self);
    ret = open_and_act(self, s, act, arg, &s->want);
    if (ret == 0 && s->holds) {
        ret = -EDEADLK;
    }
    *want = s->want;
    s->waiters += ret == 0;
    Py_END_CRITICAL_SECTION();
    return ret;
}

static int raise_gone(const struct ring_side *s, bool died)
{
    PyObject *type = s->writes ? PyExc_BrokenPipeError : PyExc_EOFError;

    PyErr_SetString(
        died ? PyExc_ConnectionResetError : type,
        s->writes
            ? (died ? "a process that reads the Ring has died, and none is left"
                    : "all that read the Ring have closed it")
            : (died ? "the process that writes the Ring has died"
                    : "the writer has closed the Ring"));
    return -1;
}

static int raise_with_errno(int err, const char *text)
{
    PyObject *args = Py_BuildValue("is", -err, text);

    if (args) {
        PyErr_SetObject(PyExc_OSError, args);
        Py_DECREF(args);
    }
    return -1;
}

static int raise_error(RingObject *self, struct ring_side *s, int err)
{
    switch (err) {
    case -ENOMEM:
        PyErr_NoMemory();
        return -1;
    case -ESHUTDOWN:
        PyErr_SetString(PyExc_RuntimeError, "the Ring is closed");
        return -1;
    case -EPIPE:
    case -ECONNRESET:
        return raise_gone(s, err == -ECONNRESET);
    case -EMSGSIZE:
        PyErr_Format(PyExc_ValueError,
                     "the longest message of this Ring has %llu bytes",
                     (unsigned long long)ring_message_max(&self->memory));
        return -1;
    case -EALREADY:
        PyErr_SetString(PyExc_BufferError,
                        "the last message of recv_view() is not released");
        return -1;
    case -EDEADLK:
        PyErr_SetString(PyExc_RuntimeError,
                        "somebody else waits at this side of the Ring: threads "
                        "and loops cannot both");
        return -1;
    case -EBADMSG:
        return raise_with_errno(err, "the memory of the Ring holds garbage");
    case -EBUSY:
        return raise_with_errno(
            err, s->writes ? "the Ring has, or had, a writer"
                           : "the Ring has, or had, as many readers as it can");
    default:
        raise_errno(err);
        return -1;
    }
}

/* Critical section.  What nobody needs any more: the memory, if it is that. */
static Py_buffer take_unused(RingObject *self)
{
    Py_buffer unused = {NULL};

    if (self->closed && ring_side_let_go(&self->writer) &&
        ring_side_let_go(&self->reader)) {
        unused = self->buffer;
        self->buffer = (Py_buffer){NULL};
    }
    return unused;
}

static void end_waiter(RingObject *self, struct ring_side *s)
{
    Py_buffer unused = {NULL};

    Py_BEGIN_CRITICAL_SECTION(self);
    s->waiters--;
    unused = take_unused(self);
    Py_END_CRITICAL_SECTION();
    PyBuffer_Release(&unused);
}

/* Tries until it is done.  Returns as ring_send(), or -errno; *raised: a handler has. */
static int act_until(RingObject *self, struct ring_side *s, ring_act *act,
                     void *arg, int64_t timeout_ns, bool *raised)
{
    struct ring_wait w = {.deadline_ns = -1};
    int ret = act_or_wait(self, s, act, arg, &w.want);

    if (ret == 0) {
        w.deadline_ns = deadline_in_ns(timeout_ns);
    }
    while (ret == 0) {
        bool late;

        ret = ring_side_wait((PyObject *)self, s, &w);
        end_waiter(self, s);
        *raised = PyErr_CheckSignals() < 0;
        if (*raised || ret < 0) {
            return ret;
        }
        late = time_left_ns(w.deadline_ns) == 0;
        ret = late ? act_once(self, s, act, arg, &w.want)
                   : act_or_wait(self, s, act, arg, &w.want);
        if (late) {
            return ret;
        }
    }
    return ret;
}

static int act_now(RingObject *self, struct ring_side *s, ring_act *act,
                   void *arg)
{
    struct ring_want want;
    int ret = act_once(self, s, act, arg, &want);

    ret = ret ? ret : act_once(self, s, check, self, &want);
    return ret ? ret : act_once(self, s, act, arg, &want);
}

static int run(RingObject *self, struct ring_side *s, ring_act *act, void *arg,
               int64_t timeout_ns)
{
    bool raised = false;
    int ret = timeout_ns == 0
                  ? act_now(self, s, act, arg)
                  : act_until(self, s, act, arg, timeout_ns, &raised);

    return raised ? -1 : ret < 0 ? raise_error(self, s, ret) : ret;
}

int ring_send(RingObject *self, const void *data, size_t length,
              int64_t timeout_ns)
{
    struct parcel p = {.data = data, .length = length};

    return run(self, &self->writer, send, &p, timeout_ns);
}

int ring_recv(RingObject *self, PyObject **message, int64_t timeout_ns)
{
    struct parcel p = {.message = NULL};
    int ret = run(self, &self->reader, receive, &p, timeout_ns);

    *message = p.message;
    return ret;
}

int ring_front(RingObject *self, struct ring_message *m, uint64_t *view_number,
               int64_t timeout_ns)
{
    struct parcel p = {.front = m};
    int ret = run(self, &self->reader, view, &p, timeout_ns);

    *view_number = p.view;
    return ret;
}

void ring_pass(RingObject *self, const struct ring_message *m,
               uint64_t view_number)
{
    struct ring_side *s = &self->reader;

    Py_BEGIN_CRITICAL_SECTION(self);
    /* Unless the side was closed meanwhile, or this is the child of a fork. */
    if (enter(self) == 0 && s->viewed == view_number) {
        s->viewed = 0;
        ring_wait_publish(&s->waits, &s->end);
        ring_end_move(&s->end, m->next);
    }
    Py_END_CRITICAL_SECTION();
}

int ring_pin(RingObject *self, Py_buffer *memory)
{
    PyObject *buffer;
    int ret;

    Py_BEGIN_CRITICAL_SECTION(self);
    buffer = Py_XNewRef(self->buffer.obj);
    Py_END_CRITICAL_SECTION();
    if (!buffer) {
        return raise_error(self, &self->reader, -ESHUTDOWN);
    }
    ret = PyObject_GetBuffer(buffer, memory, PyBUF_SIMPLE);
    Py_DECREF(buffer);
    return ret;
}

static struct ring_side *side_of(RingObject *self, bool writes)
{
    return writes ? &self->writer : &self->reader;
}

static int hold(struct ring_end *e, void *arg,
                struct ring_want *Py_UNUSED(want))
{
    struct ring_side *s = side_of_end(e);

    if (s->waiters || s->holds) {
        return -EDEADLK;
    }
    s->holds++;
    *(int *)arg = e->fd;
    return 0;
}

static int simply(RingObject *self, bool writes, ring_act *act, void *arg)
{
    struct ring_side *s = side_of(self, writes);
    struct ring_want want;
    int ret = act_once(self, s, act, arg, &want);

    return ret < 0 ? raise_error(self, s, ret) : ret;
}

int ring_hold(RingObject *self, bool writes)
{
    int fd = -1;

    return simply(self, writes, hold, &fd) < 0 ? -1 : fd;
}

void ring_let_go(RingObject *self, bool writes)
{
    struct ring_side *s = side_of(self, writes);
    Py_buffer unused = {NULL};

    Py_BEGIN_CRITICAL_SECTION(self);
    (void)enter(self); /* in the child of a fork nobody has it */
    if (s->holds) {
        s->holds--;
        unused = take_unused(self);
    }
    Py_END_CRITICAL_SECTION();
    PyBuffer_Release(&unused);
}

int ring_arm(RingObject *self, bool writes)
{
    return simply(self, writes, arm, NULL);
}

int ring_disarm(RingObject *self, bool writes)
{
    return simply(self, writes, disarm, NULL);
}

int ring_check(RingObject *self, bool writes)
{
    return simply(self, writes, check, NULL);
}

int ring_has_moved(RingObject *self, bool writes)
{
    return simply(self, writes, has_moved, NULL);
}

void ring_close(RingObject *self)
{
    Py_buffer unused = {NULL};

    Py_BEGIN_CRITICAL_SECTION(self);
    (void)enter(self); /* no memory: what it has is let go of below */
    self->closed = true;
    ring_side_close(&self->writer);
    ring_side_close(&self->reader);
    unused = take_unused(self);
    Py_END_CRITICAL_SECTION();
    PyBuffer_Release(&unused);
}
