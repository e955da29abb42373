/* SPDX-License-Identifier: MIT
 *
 * See worker_thread.h.
 */
#include "pool/worker_thread.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* Longest name of a thread for the OS. */
#define OS_NAME_MAX 15

/*
 * Those that are sent to the process: the kernel then gives them to the owner, or to
 * another thread of the program.  Not those that a thread brings on itself (a fault, a
 * trap, a broken pipe, a limit, a read from the terminal in the background), nor those
 * that are meant for each thread (profilers', real-time ones).
 */
static void block_signals(void)
{
    static const int sent[] = {
        SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,  SIGALRM, SIGCHLD, SIGCONT,
        SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH, SIGIO,   SIGURG,
    };
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(sent); i++) {
        sigaddset(&set, sent[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* As if the owner had started it, whoever did. */
static void inherit_affinity(struct pool_core *pool)
{
#ifdef __linux__
    int tid = atomic_load_explicit(&pool->core->owner_tid,
                                   memory_order_relaxed);
    _Atomic uint32_t *moves = &pool->core->cpus.moves;
    cpu_set_t set;
    uint32_t seen;
    int ret;

    /* Not one that the owner has for a moment: seq_cst, as a move is. */
    do {
        while ((seen = atomic_load_explicit(moves, memory_order_seq_cst)) % 2) {
            Py_BEGIN_ALLOW_THREADS
            sched_yield();
            Py_END_ALLOW_THREADS
        }
        ret = sched_getaffinity(tid, sizeof(set), &set);
    } while (atomic_load_explicit(moves, memory_order_seq_cst) != seen);
    /* Fails where the owner has ended, or has more CPUs than a set. */
    if (ret == 0) {
        sched_setaffinity(0, sizeof(set), &set);
    }
#else
    (void)pool;
#endif
}

static void name_thread(PyObject *name)
{
#ifdef __linux__
    char buffer[OS_NAME_MAX + 1] = "";
    const char *utf8 = PyUnicode_AsUTF8(name);

    if (!utf8) { /* lone surrogates: it goes without */
        PyErr_Clear();
        return;
    }
    strncpy(buffer, utf8, OS_NAME_MAX);
    pthread_setname_np(pthread_self(), buffer);
#else
    (void)name;
#endif
}

void worker_thread_begin(struct pool_core *pool)
{
    if (pool->block_signals) {
        block_signals();
    }
    inherit_affinity(pool);
    name_thread(pool->name_prefix);
}
