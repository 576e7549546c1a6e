/*
 * Root of the tree that criu copies. Orphans of the program come here, so that they are part of the image too; the
 * program itself has no children that it does not know of.
 */
#define _GNU_SOURCE
#include "parts.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int reap(pid_t program) {
    int status;
    pid_t pid;
    do pid = waitpid(-1, &status, __WALL);
    while (pid != program && !(pid < 0 && errno == ECHILD));
    if (pid < 0) return 125;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    /* Ends as the program did; the core file, if any, has been written. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
    return 128 + WTERMSIG(status);
}
