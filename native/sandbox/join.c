/* What is done from outside in a sandbox that is there: another program, ports. */
#define _GNU_SOURCE
#include "parts.h"
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENERS = 64, CONNECTIONS = 512, BUFFER = 65536 };

static int fail(const char *what) {
    send_failure(what);
    return 125;
}

/* Joins namespaces of a process; in a user namespace, that one too. Ends with `parent` from here on. */
static int join(pid_t parent, pid_t target, int user, int kinds) {
    int fd = (int)syscall(SYS_pidfd_open, target, 0);
    if (fd < 0 || setns(fd, kinds | (user ? CLONE_NEWUSER : 0))) return -1;
    close(fd);
    /* After the last change of credentials, which would clear it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    errno = ESRCH;
    return getppid() == parent ? 0 : -1;
}

static const char *begin(const char *terminal, const char *cwd, int uid, int gid, char **argv) {
    if (setsid() < 0) return "session";
    if (terminal[0] != '-') {
        int fd = open(terminal, O_RDWR | O_CLOEXEC);
        if (fd < 0) return "terminal";
        for (int i = 0; i < 3; i++) dup2(fd, i);
        if (ioctl(0, TIOCSCTTY, 0)) return "terminal";
    }
    if (chdir(cwd)) return "chdir";
    if (assume(uid, gid, "")) return "identity";
    execvp(argv[0], argv);
    return "exec";
}

int enter(pid_t parent, pid_t target, int user, const char *terminal, const char *cwd, char **words) {
    sigset_t all, before;
    int status = 0;
    char go;
    close_on_exec(CONTROL, 1);
    /* What limits the program is put on this process first. */
    if (read(CONTROL, &go, 1) != 1) return 125;
    if (join(parent, target, user, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
        return fail("join");
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(fail(begin(terminal, cwd, atoi(words[0]), atoi(words[1]), words + 2)));
    }
    /* The program's streams and what it reports are its own: their ends are to be seen. */
    for (int fd = 0; fd <= CONTROL; fd++) close(fd);
    while (waitpid(child, &status, WNOHANG) == 0) {
        siginfo_t told;
        int number = sigwaitinfo(&all, &told);
        if (number > 0 && number != SIGCHLD) kill(-child, number);
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    /* Ends as the program did; the core file, if any, has been written. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(WTERMSIG(status), SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    kill(getpid(), WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

int assume(int uid, int gid, const char *host) {
    if (host[0] && sethostname(host, strlen(host))) return -1;
    return uid >= 0 && (setgroups(0, NULL) || setgid((gid_t)gid) || setuid((uid_t)uid)) ? -1 : 0;
}

/* Where a connection goes: the sandbox's loopback, of either family. */
static int reach(int port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&four, sizeof four) == 0) return fd;
    close(fd);
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&six, sizeof six) == 0) return fd;
    close(fd);
    return -1;
}

/* Whoever is connected is to see that nothing answers here. */
static void refuse(int fd) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
}

struct way {
    int from, to;
    size_t held, sent;
    int ended; /* nothing more comes from `from` */
    char bytes[BUFFER];
};

/* Moves what can be moved now. Returns -1 when the connection is broken. */
static int move(struct way *way, int readable) {
    if (readable && !way->ended && way->held == 0) {
        ssize_t got = recv(way->from, way->bytes, BUFFER, MSG_DONTWAIT);
        if (got < 0 && errno != EAGAIN && errno != EINTR) return -1;
        if (got == 0) way->ended = 1, shutdown(way->to, SHUT_WR);
        if (got > 0) way->held = (size_t)got, way->sent = 0;
    }
    if (way->held == 0) return 0;
    ssize_t put = send(way->to, way->bytes + way->sent, way->held, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    way->sent += (size_t)put;
    way->held -= (size_t)put;
    return 0;
}

static int carry(int outside, int port) {
    int inside = reach(port);
    if (inside < 0) return refuse(outside), 1;
    static struct way ways[2];
    ways[0].from = ways[1].to = outside;
    ways[1].from = ways[0].to = inside;
    while (!(ways[0].ended && ways[1].ended && ways[0].held + ways[1].held == 0)) {
        struct pollfd watch[2];
        for (int i = 0; i < 2; i++) {
            short wanted = ways[1 - i].held > 0 ? POLLOUT : 0;
            if (!ways[i].ended && ways[i].held == 0) wanted |= POLLIN;
            /* One that is asked for nothing would go on reporting its end. */
            watch[i] = (struct pollfd){wanted ? ways[i].from : -1, wanted, 0};
        }
        if (poll(watch, 2, -1) < 0 && errno != EINTR) return 1;
        for (int i = 0; i < 2; i++)
            if (move(&ways[i], watch[i].revents & (POLLIN | POLLHUP | POLLERR))) return refuse(outside), refuse(inside), 1;
    }
    return 0;
}

/* Nobody can connect to it yet. */
static int take(const char *address, int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    errno = EINVAL;
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    /* Of those that may share an address the kernel would give two the same free port. */
    if (port) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return bind(fd, (struct sockaddr *)&at, sizeof at) ? -1 : fd;
}

static int port_of(int fd) {
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &size) ? 0 : ntohs(at.sin_port);
}

int publish(pid_t parent, pid_t target, int user, int count, char **words) {
    struct pollfd watch[LISTENERS];
    int inner[LISTENERS], living = 0;
    char said[LISTENERS * 8] = "", go;
    errno = E2BIG;
    if (count > LISTENERS) return fail("publish");
    /* Made before the namespace is joined: these stay the machine's, what connects is the sandbox's. */
    for (int i = 0; i < count; i++) {
        watch[i] = (struct pollfd){take(words[3 * i], atoi(words[3 * i + 1])), POLLIN, 0};
        inner[i] = atoi(words[3 * i + 2]);
        if (watch[i].fd < 0) return fail(words[3 * i + 1]);
        snprintf(said + strlen(said), 8, i ? " %d" : "%d", port_of(watch[i].fd));
    }
    if (join(parent, target, user, CLONE_NEWNET)) return fail("join");
    record_send(CONTROL, "taken", said, (char *)NULL);
    if (read(CONTROL, &go, 1) != 1) return 125;
    for (int i = 0; i < count; i++)
        if (listen(watch[i].fd, 128)) return fail(words[3 * i + 1]);
    record_send(CONTROL, "published", (char *)NULL);
    close(CONTROL);
    for (;;) {
        while (waitpid(-1, NULL, living < CONNECTIONS ? WNOHANG : 0) > 0) living--;
        /* Now and then, for children that have ended meanwhile. */
        if (poll(watch, (nfds_t)count, 1000) < 0 && errno != EINTR) return 125;
        for (int i = 0; i < count; i++) {
            if (!(watch[i].revents & POLLIN)) continue;
            int fd = accept4(watch[i].fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0) continue;
            pid_t child = fork();
            if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (int k = 0; k < count; k++) close(watch[k].fd);
                _exit(carry(fd, inner[i]));
            }
            close(fd);
            living += child > 0;
        }
    }
}
