/* SPDX-License-Identifier: MIT
 *
 * See worker_thread.h.
 */
#include "pool/worker_thread.h"
#include "base/os_thread.h"

/* Lone surrogates: it goes without. */
static void name_thread(PyObject *name)
{
    const char *utf8 = PyUnicode_AsUTF8(name);

    if (utf8) {
        os_thread_set_name(utf8);
    }
    PyErr_Clear();
}

void worker_thread_begin(struct pool_core *pool)
{
    struct aio_core *core = pool->core;

    if (pool->block_signals) {
        os_thread_block_signals(NULL);
    }
    Py_BEGIN_ALLOW_THREADS
    cpu_pair_inherit(&core->cpus, atomic_load_explicit(&core->owner_tid,
                                                       memory_order_relaxed));
    Py_END_ALLOW_THREADS
    name_thread(pool->name_prefix);
}
