#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int copy(int from, int to) {
    static char bytes[65536];
    for (;;) {
        ssize_t got = read(from, bytes, sizeof bytes);
        if (got == 0) return 0;
        if (got < 0) return errno;
        for (ssize_t sent = 0; sent < got;) {
            ssize_t put = write(to, bytes + sent, (size_t)(got - sent));
            if (put < 0) return errno;
            sent += put;
        }
    }
}

/* Size and mode in a line, then the content. */
int get_file(const char *path) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &found)) return errno;
    if (!S_ISREG(found.st_mode)) return S_ISDIR(found.st_mode) ? EISDIR : EINVAL;
    dprintf(1, "%lld %o\n", (long long)found.st_size, (unsigned)found.st_mode & 07777);
    return copy(fd, 1);
}

int make_parents(char *path) {
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        int failed = mkdir(path, 0755) && errno != EEXIST;
        *at = '/';
        if (failed) return errno;
    }
    return 0;
}

/* Replaces a file in one step. A link at the end is replaced, not followed. */
int put_file(const char *path, const char *mode) {
    char *name = strdup(path), draft[4200];
    int why = name ? make_parents(name) : ENOMEM;
    if (why) return why;
    snprintf(draft, sizeof draft, "%.*s.thaw-%d", (int)(strrchr(path, '/') + 1 - path), path, getpid());
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    why = copy(0, fd);
    if (!why && (fchmod(fd, (mode_t)strtol(mode, NULL, 8)) || rename(draft, path))) why = errno;
    if (why) unlink(draft);
    return why;
}
