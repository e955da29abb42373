/* SPDX-License-Identifier: MIT
 *
 * See os_thread.h.
 */
#include "base/os_thread.h"
#include "base/clock.h"

#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Longest name of a thread for the OS. */
#define OS_NAME_MAX 15

void os_thread_block_signals(sigset_t *before)
{
    static const int sent[] = {
        SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,  SIGALRM, SIGCHLD, SIGCONT,
        SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH, SIGIO,   SIGURG,
    };
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        sigaddset(&set, sent[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, before);
}

void os_thread_set_name(const char *name)
{
#ifdef __linux__
    char buffer[OS_NAME_MAX + 1] = "";

    strncpy(buffer, name, OS_NAME_MAX);
    pthread_setname_np(pthread_self(), buffer);
#else
    (void)name;
#endif
}

long os_thread_be_punctual(void)
{
#ifdef __linux__
    /* The raw call: glibc's returns an int, which is 2 s at most. */
    long slack_ns = syscall(SYS_prctl, PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);

    os_thread_set_slack(slack_ns < 0 ? slack_ns : 1);
    return slack_ns;
#else
    return -1;
#endif
}

void os_thread_set_slack(long slack_ns)
{
#ifdef __linux__
    if (slack_ns >= 0) {
        prctl(PR_SET_TIMERSLACK, (unsigned long)slack_ns, 0UL, 0UL, 0UL);
    }
#else
    (void)slack_ns;
#endif
}

void os_thread_nap(int64_t ns)
{
    struct timespec nap = timespec_from_ns(ns);
    long slack_ns = os_thread_be_punctual();

    nanosleep(&nap, NULL);
    os_thread_set_slack(slack_ns);
}

int os_thread_start(pthread_t *out, void *(*run)(void *), void *arg)
{
    sigset_t before;
    int ret;

    os_thread_block_signals(&before); /* it inherits that */
    ret = -pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ret;
}
