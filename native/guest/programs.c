#define _GNU_SOURCE
#include "guest.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ROWS COLS CWD UID GID ARGUMENTS ARGV... ENV...; no terminal where ROWS is 0, joined streams where COLS is 1 then. */
enum { ROWS, COLS, CWD, UID, GID, ARGUMENTS, ARGV };

static int join_cgroup(void) {
    int fd = open(CGROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);
    int failed = fd < 0 || write(fd, "0", 1) != 1;
    if (fd >= 0) close(fd);
    return failed;
}

static const char *begin(char **words, size_t count, int *ends, int terminal) {
    sigset_t none;
    if (join_cgroup()) return "cgroup";
    if (setsid() < 0) return "session";
    if (terminal && ioctl(ends[0], TIOCSCTTY, 0)) return "terminal";
    for (int i = 0; i < 3; i++)
        if (dup2(ends[i], i) < 0) return "stdio";
    int uid = atoi(words[UID]), gid = atoi(words[GID]);
    if (uid >= 0 && (setgroups(0, NULL) || setgid((gid_t)gid) || setuid((uid_t)uid))) return "identity";
    if (chdir(words[CWD])) return "chdir";
    umask(022);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    size_t arguments = (size_t)atoi(words[ARGUMENTS]);
    char **argv = calloc(arguments + 1, sizeof *argv);
    if (!argv || ARGV + arguments > count) return "memory";
    memcpy(argv, words + ARGV, arguments * sizeof *argv);
    environ = words + ARGV + arguments;
    execvp(argv[0], argv);
    return "exec";
}

/* Ends the process. */
static void run_builtin(char **argv, int *ends) {
    for (int i = 0; i < 3; i++) dup2(ends[i], i);
    /* There is no exec that would close the other side of its own input. */
    syscall(SYS_close_range, 3, ~0u, 0);
    signal(SIGPIPE, SIG_DFL);
    if (!strcmp(argv[0], "get")) _exit(get_file(argv[1]));
    if (!strcmp(argv[0], "put") && argv[1] && argv[2]) _exit(put_file(argv[1], argv[2]));
    if (!strcmp(argv[0], "list") && argv[1]) _exit(list_tree(argv[1]));
    if (!strcmp(argv[0], "pack") && argv[1]) _exit(pack_tree(argv[1]));
    if (!strcmp(argv[0], "unpack") && argv[1]) _exit(unpack_tree(argv[1]));
    if (!strcmp(argv[0], "meet") && argv[1]) _exit(meet(argv[1]));
    if (!strcmp(argv[0], "dial") && argv[1]) _exit(dial(argv[1]));
    _exit(ENOSYS);
}

/* Of both sides: ours in `streams`, the program's in `ends`. */
static int open_streams(char **words, struct streams *streams, int *ends) {
    int in[2], out[2], err[2];
    int rows = atoi(words[ROWS]), cols = atoi(words[COLS]);
    if (rows > 0) {
        struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
        if (openpty(&streams->in, &ends[0], NULL, NULL, &size)) return -1;
        ends[1] = ends[2] = ends[0];
        streams->out = fcntl(streams->in, F_DUPFD_CLOEXEC, 0);
        streams->err = -1;
        fcntl(streams->in, F_SETFD, FD_CLOEXEC);
    } else {
        if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) return -1;
        ends[0] = in[0], ends[1] = ends[2] = out[1];
        streams->in = in[1], streams->out = out[0], streams->err = -1;
        if (cols == 0) {
            if (pipe2(err, O_CLOEXEC)) return -1;
            ends[2] = err[1], streams->err = err[0];
        }
    }
    int ours[] = {streams->in, streams->out, streams->err};
    for (int i = 0; i < 3; i++)
        if (ours[i] >= 0) fcntl(ours[i], F_SETFL, fcntl(ours[i], F_GETFL) | O_NONBLOCK);
    return 0;
}

int start_program(char **words, size_t count, int builtin, struct streams *streams, const char **what) {
    static char said[32];
    int ends[3], report[2];
    *what = "request";
    errno = EINVAL;
    if (count <= ARGV || ARGV + (size_t)atoi(words[ARGUMENTS]) > count || atoi(words[ARGUMENTS]) < 1) return -1;
    *what = "streams";
    if (open_streams(words, streams, ends) || pipe2(report, O_CLOEXEC)) return -1;
    *what = "fork";
    pid_t child = fork();
    if (child == 0) {
        if (builtin) run_builtin(words + ARGV, ends);
        const char *failed = begin(words, count, ends, atoi(words[ROWS]) > 0);
        dprintf(report[1], "%d %s", errno, failed);
        _exit(127);
    }
    int why = errno;
    close(report[1]);
    close(ends[0]);
    if (ends[1] != ends[0]) close(ends[1]);
    if (ends[2] != ends[1]) close(ends[2]);
    char text[64] = "";
    ssize_t size = child < 0 ? 0 : read(report[0], text, sizeof text - 1);
    close(report[0]);
    if (child > 0 && size <= 0) return child;
    if (child > 0) {
        waitpid(child, NULL, 0);
        why = atoi(text);
        char *words_at = strchr(text, ' ');
        snprintf(said, sizeof said, "%s", words_at ? words_at + 1 : "exec");
        *what = said;
    }
    close(streams->in), close(streams->out);
    if (streams->err >= 0) close(streams->err);
    errno = why;
    return -1;
}
