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

/* Between the daemon and a socket. `whole`: an end of either side is the end; else what the daemon has ended is told, and
   the socket's end awaited. */
static int carry(int one, int whole) {
    static char bytes[65536];
    struct pollfd watch[] = {{0, POLLIN, 0}, {one, POLLIN, 0}};
    for (;;) {
        if (poll(watch, 2, -1) < 0) return errno;
        for (int i = 0; i < 2; i++) {
            if (!watch[i].revents) continue;
            ssize_t got = read(watch[i].fd, bytes, sizeof bytes);
            if (got <= 0 && (whole || i == 1)) return 0;
            if (got <= 0) shutdown(one, SHUT_WR), watch[0].fd = -1;
            else if (send_all(i == 0 ? one : 1, bytes, got)) return 0;
        }
    }
}

/* What a program of the machine says on a socket reaches the daemon by this, and the answers come back. */
int meet(const char *path) {
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
    return carry(one, 1);
}

/* To a program of the machine that listens on a socket with a name. */
int dial(const char *path) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof name.sun_path) return ENAMETOOLONG;
    strcpy(name.sun_path, path);
    int one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (one < 0 || connect(one, (struct sockaddr *)&name, sizeof name)) return errno;
    return carry(one, 0);
}
