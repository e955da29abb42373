/* SPDX-License-Identifier: MIT
 *
 * See fdmon.h.  -DTPOOL_NO_EPOLL never chooses epoll.
 */
#include "aio/fdmon.h"

#include <string.h>

int fdmon_init_as(struct fdmon *m, const struct fdmon_ops *ops)
{
    memset(m, 0, sizeof(*m));
    m->ops = ops;
    return ops->init(m);
}

int fdmon_init(struct fdmon *m)
{
#if defined(__linux__) && !defined(TPOOL_NO_EPOLL)
    int ret = fdmon_init_as(m, &fdmon_epoll_ops);

    if (ret != -ENOSYS && ret != -EPERM) { /* a sandbox may say either */
        return ret;
    }
#endif
    return fdmon_init_as(m, &fdmon_poll_ops);
}

int fdmon_add_own(struct fdmon *m, const struct event_notifier *e)
{
    int ret = fdmon_add(m, e->rfd, 0, FDMON_READ);

    if (ret == 0) {
        assert(m->n_own < FDMON_OWN);
        m->own[m->n_own++] = e;
    }
    return ret;
}

bool fdmon_is_gone(const struct fdmon *m)
{
    return m->n_own && !event_notifier_is_ours(m->own[0], m->own[0]->rfd);
}

bool fdmon_reported(const struct fdmon_event *events, int n, int fd)
{
    for (int i = 0; i < n; i++) {
        if (events[i].fd == fd) {
            return true;
        }
    }
    return false;
}
