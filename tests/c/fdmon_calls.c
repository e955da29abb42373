/* SPDX-License-Identifier: MIT
 *
 * What each change of a registration costs: run under strace, by test_fd_calls.py.
 */
#include "aio/fdmon.h"

#include <stdio.h>
#include <unistd.h>

static void step(const char *name)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "step %s\n", name);

    assert(write(2, line, (size_t)n) == n);
}

int main(void)
{
    struct fdmon m;
    int a[2], b[2], copy;

    assert(fdmon_init(&m) == 0 && pipe(a) == 0 && pipe(b) == 0);
    step("add");
    assert(fdmon_add(&m, a[0], 1, FDMON_READ) == 0);
    step("set");
    assert(fdmon_set(&m, a[0], 2, FDMON_READ | FDMON_WRITE) == 0);
    step("none");
    copy = dup(a[0]);
    assert(copy >= 0 && dup2(b[0], a[0]) == a[0]);
    step("set anew");
    assert(fdmon_set(&m, a[0], 3, FDMON_READ) == 0);
    step("add anew");
    assert(fdmon_add(&m, a[0], 4, FDMON_READ) == 0);
    step("remove");
    assert(fdmon_set(&m, a[0], 0, 0) == 0);
    step("none");
    assert(fdmon_add(&m, a[0], 5, FDMON_READ) == 0);
    close(copy);
    fdmon_cleanup(&m);
    puts("fdmon_calls: done");
    return 0;
}
