#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_all(int fd, const char *bytes, ssize_t size) {
    for (ssize_t sent = 0; sent < size;) {
        ssize_t put = write(fd, bytes + sent, (size_t)(size - sent));
        if (put < 0) return errno;
        sent += put;
    }
    return 0;
}

/* What a program of the machine says on a socket reaches the daemon by this, and the answers come back. */
int meet(const char *path) {
    static char bytes[65536];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char *parents = strdup(path);
    if (!parents || strlen(path) >= sizeof name.sun_path) return ENAMETOOLONG;
    int why = make_parents(parents);
    if (why) return why;
    strcpy(name.sun_path, path);
    unlink(path);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || bind(server, (struct sockaddr *)&name, sizeof name) || listen(server, 1)) return errno;
    if ((why = send_all(1, "\n", 1))) return why;
    int one = accept(server, NULL, NULL);
    close(server);
    unlink(path);
    if (one < 0) return errno;
    for (;;) {
        struct pollfd watch[] = {{0, POLLIN, 0}, {one, POLLIN, 0}};
        if (poll(watch, 2, -1) < 0) return errno;
        for (int i = 0; i < 2; i++) {
            if (!watch[i].revents) continue;
            ssize_t got = read(watch[i].fd, bytes, sizeof bytes);
            /* Either side ends it. */
            if (got <= 0) return 0;
            if (send_all(i == 0 ? one : 1, bytes, got)) return 0;
        }
    }
}
