#define _GNU_SOURCE
#include "parts.h"
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int put(const char *file, const char *text) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t size = write(fd, text, strlen(text));
    close(fd);
    return size < 0 ? -1 : 0;
}

/* The user is root inside, and nobody else exists there. */
static int map_user(uid_t uid, gid_t gid) {
    char map[64];
    if (put("/proc/self/setgroups", "deny")) return -1;
    snprintf(map, sizeof map, "0 %u 1\n", uid);
    if (put("/proc/self/uid_map", map)) return -1;
    snprintf(map, sizeof map, "0 %u 1\n", gid);
    return put("/proc/self/gid_map", map);
}

static int fail(const char *what) {
    send_failure(what);
    return 125;
}

int own(pid_t parent, int user, int network) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int alive[2];
    for (int fd = CONTROL; fd <= PROGRAM_LAST; fd++) {
        /* One that was not given must not become something else's number. */
        if (fcntl(fd, F_GETFD) < 0 && move_descriptor(open("/dev/null", O_RDWR | O_CLOEXEC), fd)) return 125;
        close_on_exec(fd, 1);
    }
    if (pipe2(alive, O_CLOEXEC)) return fail("pipe");
    if (user) setenv("THAW_ROOTLESS", "1", 1);
    if (user && unshare(CLONE_NEWUSER)) return fail("user namespace");
    if (user && map_user(uid, gid)) return fail("user map");
    int common = CLONE_NEWPID | CLONE_NEWNS | (network ? CLONE_NEWNET : 0);
    /* Without root criu cannot put System V objects back: it is to see no foreign namespace of them. */
    if (unshare(common | (user ? CLONE_NEWIPC | CLONE_NEWUTS : 0))) return fail("namespaces");
    /* After the last change of credentials, which would clear it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) return 125;
    pid_t child = fork();
    if (child < 0) return fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(alive[1]);
        /* The pipe ends with the owner: this tells of a death from before the line above. */
        if (move_descriptor(alive[0], OWNER_LIVES)) _exit(fail("pipe"));
        _exit(init(network));
    }
    char number[16];
    snprintf(number, sizeof number, "%d", child);
    record_send(CONTROL, "init", number, (char *)NULL);
    for (int fd = CONTROL; fd <= PROGRAM_LAST; fd++) close(fd);
    close(alive[0]);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
