/* SPDX-License-Identifier: MIT
 *
 * See loop_ops.h: the future of a call that has returned gets its result.
 */
#include "loop/loop_ops.h"
#include "pool/request.h"

/* 1 or 0: whether the loop of the future runs in this thread; -1 with an exception. */
static int is_in_its_loop(LoopOpsObject *ops, PyObject *future)
{
    PyObject *running = PyObject_CallNoArgs(ops->get_running_loop);
    PyObject *loop = running ? PyObject_CallMethodNoArgs(
                                   future, ops->state->str_get_loop)
                             : NULL;
    int ret = loop ? loop == running : -1;

    Py_XDECREF(running);
    Py_XDECREF(loop);
    return ret;
}

static bool has_returned(LoopOpsObject *ops, PyObject *request)
{
    RequestObject *r = (RequestObject *)request;

    return Py_IS_TYPE(request, ops->state->request_type) &&
           request_state(r) == WORK_DONE && !request_is_cancelled(r) &&
           !r->base.work.raised;
}

PyObject *loop_settle(LoopOpsObject *ops, PyObject *const *args,
                      Py_ssize_t nargs)
{
    PyObject *done;
    int here;

    if (nargs != 2 || !has_returned(ops, args[0])) {
        return PyObject_Vectorcall(ops->settle, args, (size_t)nargs, NULL);
    }
    here = is_in_its_loop(ops, args[1]);
    if (here <= 0) {
        return here < 0 ? NULL
                        : PyObject_Vectorcall(ops->settle, args, 2, NULL);
    }
    done = PyObject_CallMethodNoArgs(args[1], ops->state->str_done);
    if (done != Py_False) {
        return done; /* it was cancelled, or this fails */
    }
    Py_DECREF(done);
    return PyObject_CallMethodOneArg(args[1], ops->state->str_set_result,
                                     ((RequestObject *)args[0])->outcome);
}
