/* SPDX-License-Identifier: MIT
 *
 * See thread_stack.h.
 */
#include "base/thread_stack.h"

#include <pthread.h>

struct thread_stack thread_stack_get(void)
{
    struct thread_stack s = {0, 0};
#ifdef __linux__
    pthread_attr_t attr;
    size_t size, guard;
    void *low;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        if (pthread_attr_getstack(&attr, &low, &size) == 0 &&
            pthread_attr_getguardsize(&attr, &guard) == 0 && guard < size) {
            /* glibc counts the guard pages among the stack. */
            s.low = (uintptr_t)low + guard;
            s.high = (uintptr_t)low + size;
        }
        pthread_attr_destroy(&attr);
    }
#elif defined(__APPLE__)
    s.high = (uintptr_t)pthread_get_stackaddr_np(pthread_self());
    s.low = s.high - pthread_get_stacksize_np(pthread_self());
#endif
    return s;
}
