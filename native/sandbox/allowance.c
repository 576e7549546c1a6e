/* Limits, nice value and processors: what the kernel grants a program beside its rights. */
#define _GNU_SOURCE
#include "allowance.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Reads "3" or "0-3,8". */
int set_processors(const char *list) {
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const char *at = list; *at;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        if (end == at || last >= CPU_SETSIZE) return errno = EINVAL, -1;
        for (; first <= last; first++) CPU_SET(first, &wanted);
        at = *end == ',' ? end + 1 : end;
        if (*end && *end != ',') return errno = EINVAL, -1;
    }
    return sched_setaffinity(0, sizeof wanted, &wanted);
}

int set_nice(const char *value) {
    int wanted = atoi(value);
    errno = 0;
    return getpriority(PRIO_PROCESS, 0) == wanted && !errno ? 0 : setpriority(PRIO_PROCESS, 0, wanted);
}

static const char *read_bound(const char *at, rlim_t *bound) {
    static const char none[] = "unlimited";
    if (!strncmp(at, none, sizeof none - 1)) return *bound = RLIM_INFINITY, at + sizeof none - 1;
    char *end;
    *bound = strtoull(at, &end, 10);
    return end;
}

/* Reads "1024:4096,unlimited:unlimited,...", by the number of the resource. */
int set_limits(const char *list) {
    for (int resource = 0; *list; resource++) {
        struct rlimit wanted, now;
        list = read_bound(list, &wanted.rlim_cur);
        if (*list++ != ':') return errno = EINVAL, -1;
        list = read_bound(list, &wanted.rlim_max);
        if (*list == ',') list++;
        else if (*list) return errno = EINVAL, -1;
        if (getrlimit(resource, &now)) return -1;
        if (now.rlim_cur == wanted.rlim_cur && now.rlim_max == wanted.rlim_max) continue;
        if (setrlimit(resource, &wanted)) return -1;
    }
    return 0;
}
