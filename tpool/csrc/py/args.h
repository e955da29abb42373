/* SPDX-License-Identifier: MIT
 *
 * Arguments from Python: every error names the argument and the value.
 */
#ifndef TPOOL_PY_ARGS_H
#define TPOOL_PY_ARGS_H

#include "tune/poll_tuner.h"
#include "py/state.h"

/* An int from min to max.  Returns 0, or -1 with an exception. */
int arg_int(PyObject *value, const char *name, int64_t min, int64_t max,
            int64_t *out);

/* max_ns, grow and shrink, by the names they have; NULL: as it is in *out. */
int arg_poll_params(PyObject *const given[3], char *const names[3],
                    struct poll_params *out);

/*
 * Seconds as a float or an int, None and inf: for ever (-1); what is larger
 * than the clock can say is for ever too.
 */
int arg_seconds(PyObject *value, const char *name, int64_t *out_ns);

/* The same; what is negative has passed (0), as threads' locks have it. */
int arg_timeout(PyObject *value, const char *name, int64_t *out_ns);

/* A callable, or None where none is allowed (*out is borrowed, or NULL). */
int arg_callable(PyObject *value, const char *name, bool none_ok,
                 PyObject **out);

/*
 * Calls function with a dict of keywords of its own.  What parses arguments borrows
 * them from there; the one that is given could be found by the collector, and emptied
 * while an argument runs code.
 */
PyObject *args_call(PyCFunctionWithKeywords function, void *self,
                    PyObject *args, PyObject *kwargs);

/* Defines a method, or tp_new, by what it does with such a dict: name##_args(). */
#define WITH_OWN_KEYWORDS(name, type)                                          \
    PyObject *name(type *self, PyObject *args, PyObject *kwargs)               \
    {                                                                          \
        return args_call((PyCFunctionWithKeywords)(void (*)(void))name##_args, \
                         self, args, kwargs);                                  \
    }

/*
 * Up to n arguments of a METH_FASTCALL method, by their places or names; borrowed.
 * What is not given is as it is in values; the first few (least) must be given.
 */
SELDOM int args_unpack(const char *function, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames,
                       const char *const *names, int least, int n,
                       PyObject **values);

/*
 * What the environment variable TPOOL_POLL_MAX_NS says, which goes before a default of
 * poll_max_ns; *out is as it was where there is none.  Returns 0, or -1 with ValueError.
 */
int args_poll_max_ns(int64_t *out);

/* An fd, or an object with fileno(). */
int arg_fd(PyObject *value, int *out);

#endif
