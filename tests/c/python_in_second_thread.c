/* SPDX-License-Identifier: MIT
 *
 * To be preloaded: runs main() in a second thread of the process, as programs do
 * that embed Python in one of theirs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

typedef int main_function(int, char **, char **);
typedef int start_function(main_function *, int, char **, void (*)(void),
                           void (*)(void), void (*)(void), void *);

static main_function *inner;
static int count;
static char **arguments, **environment;

static void *run(void *ignored)
{
    (void)ignored;
    exit(inner(count, arguments, environment));
}

static int outer(int argc, char **argv, char **envp)
{
    pthread_t thread;

    count = argc;
    arguments = argv;
    environment = envp;
    pthread_create(&thread, NULL, run, NULL);
    pthread_join(thread, NULL);
    return 1;
}

int __libc_start_main(main_function *function, int argc, char **argv,
                      void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    start_function *start = (start_function *)dlsym(RTLD_NEXT,
                                                    "__libc_start_main");

    inner = function;
    return start(outer, argc, argv, init, fini, rtld_fini, stack_end);
}
