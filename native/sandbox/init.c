#define _GNU_SOURCE
#include "allowance.h"
#include "mounts.h"
#include "parts.h"
#include "wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The reaper and the program get the next two pids: well above those that criu needs for itself at a restore. */
#define BEFORE_FIRST "998"

enum work { IDLE, PLAIN, RESTORE };

static struct {
    sigset_t before;     /* signal mask of the one who started us */
    pid_t root;          /* the reaper above the program; 0: none yet, or gone */
    pid_t program;
    pid_t criu;          /* 0: none */
    enum work work;      /* what criu is doing */
    pid_t restored, restored_program; /* root of the tree that criu restores, and the program below it */
    int early, status;   /* whether the restored root has ended before criu did, and how */
    int ended;           /* the program's end was told */
    int uid, gid;        /* who the program is; -1: who we are */
    char host[65];       /* name of its host; empty: the machine's */
    int hooked;          /* where criu's hook is heard */
    int paused;          /* the hook waits for the word to go on */
} self;

static int set_last_pid(const char *pid) {
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t size = write(fd, pid, strlen(pid));
    close(fd);
    return size < 0 ? -1 : 0;
}

static void last_pid(char *to, size_t size) {
    int fd = open("/proc/sys/kernel/ns_last_pid", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, to, size - 1);
    to[got < 0 ? 0 : got] = 0;
    to[strcspn(to, "\n")] = 0;
    if (fd >= 0) close(fd);
}

static void close_program_descriptors(void) {
    for (int fd = PROGRAM_FIRST; fd <= PROGRAM_LAST; fd++) close(fd);
}

static int others(void) {
    DIR *proc = opendir("/proc");
    if (!proc) return 0;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(proc));) count += atoi(entry->d_name) > 1;
    closedir(proc);
    return count;
}

static void tell_end(int status) {
    char code[16] = "-", signal[16] = "-", strays[16];
    if (WIFSIGNALED(status)) snprintf(signal, sizeof signal, "%d", WTERMSIG(status));
    else snprintf(code, sizeof code, "%d", WEXITSTATUS(status));
    snprintf(strays, sizeof strays, "%d", others());
    self.root = self.program = 0;
    self.ended = 1;
    record_send(CONTROL, "exit", code, signal, strays, (char *)NULL);
}

static void tell_started(void) {
    char root[16], program[16];
    snprintf(root, sizeof root, "%d", self.root);
    snprintf(program, sizeof program, "%d", self.program);
    record_send(CONTROL, "started", root, program, (char *)NULL);
}

static int fresh_child(void) {
    signal(SIGPIPE, SIG_DFL);
    return sigprocmask(SIG_SETMASK, &self.before, NULL);
}

static const char *begin(char **words, size_t arguments, int terminal, int *streams) {
    if (setsid() < 0) return "session";
    for (int i = 0; i < 3; i++) {
        /* In this mount namespace: a descriptor from outside could not be found again by criu. */
        if (streams[i] < 0) streams[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (streams[i] < 0 || dup2(streams[i], i) < 0) return "stdio";
    }
    if (terminal && ioctl(0, TIOCSCTTY, 0)) return "terminal";
    if (chdir(words[1])) return "chdir";
    umask((mode_t)strtol(words[2], NULL, 8));
    environ = words + 10 + arguments;
    char **argv = calloc(arguments + 1, sizeof *argv);
    if (!argv) return "memory";
    memcpy(argv, words + 10, arguments * sizeof *argv);
    /* Limits last: under low ones what comes before might fail. */
    if (set_nice(words[7]) || set_limits(words[8])) return "limits";
    if (assume(self.uid, self.gid, self.host)) return "identity";
    fresh_child();
    execvp(argv[0], argv);
    return "exec";
}

static void to_null(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
}

/* The reaper, which has the program as its child. */
static const char *stand_above(char **words, size_t arguments, int *streams, int report) {
    /* Of its own, so that criu finds them foreign and puts what is in them into the image. */
    if (getenv("THAW_ROOTLESS") == NULL && unshare(CLONE_NEWIPC | CLONE_NEWUTS)) return "namespaces";
    if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) || prctl(PR_SET_PDEATHSIG, 0)) return "session";
    pid_t child = fork();
    if (child < 0) return "fork";
    if (child == 0) {
        const char *what = begin(words, arguments, words[3][0] == '1', streams);
        int why = errno;
        dprintf(report, "%d %s", why, what);
        _exit(127);
    }
    char number[16];
    snprintf(number, sizeof number, "%d", child);
    to_null();
    fresh_child();
    execve(REAPER, (char *[]){"thaw-reaper", "reap", number, NULL}, (char *[]){NULL});
    return "reaper";
}

/* start CWD UMASK TERMINAL IN OUT ERR NICE LIMITS ARGC ARGV... ENV... */
static void start(struct record *said) {
    int report[2], streams[3];
    size_t arguments = said->count > 10 ? (size_t)atoi(said->words[9]) : 0;
    errno = EINVAL;
    if (arguments == 0 || said->count < 10 + arguments) return send_failure("start");
    for (int i = 0; i < 3; i++) streams[i] = said->words[4 + i][0] == '-' ? -1 : atoi(said->words[4 + i]);
    if (pipe2(report, O_CLOEXEC)) return send_failure("pipe");
    if (set_last_pid(BEFORE_FIRST)) return send_failure("ns_last_pid");
    pid_t child = fork();
    if (child < 0) return send_failure("fork");
    if (child == 0) {
        const char *what = stand_above(said->words, arguments, streams, report[1]);
        int why = errno;
        dprintf(report[1], "%d %s", why, what);
        _exit(127);
    }
    close(report[1]);
    char text[64] = "";
    ssize_t size = read(report[0], text, sizeof text - 1);
    close(report[0]);
    if (size > 0) {
        waitpid(child, NULL, 0);
        char *what = strchr(text, ' ');
        errno = atoi(text);
        return send_failure(what ? what + 1 : "exec");
    }
    self.root = child;
    self.program = child + 1;
    close_program_descriptors();
    tell_started();
}

static void run_criu(enum work work, char **argv) {
    pid_t child = self.criu ? -1 : fork();
    if (self.criu) errno = EBUSY;
    if (child < 0) return send_failure("criu");
    if (child == 0) {
        to_null();
        /* With its hook in a group of their own, to be ended together. */
        if (work == PLAIN) setpgid(0, 0);
        if (work == RESTORE)
            for (int fd = PROGRAM_FIRST; fd <= PROGRAM_LAST; fd++) close_on_exec(fd, 0);
        /* The second says where criu keeps its cache of kernel features when it is not root. */
        char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR=/run", NULL};
        fresh_child();
        if (chdir("/") == 0) execve(argv[0], argv, env);
        _exit(127);
    }
    self.criu = child;
    self.work = work;
}

static void drain(int fd) {
    char byte;
    struct pollfd waits = {fd, POLLIN, 0};
    while (poll(&waits, 1, 0) > 0 && read(fd, &byte, 1) == 1) {}
}

static void criu_ended(int status) {
    char code[16], last[32] = "";
    enum work work = self.work;
    snprintf(code, sizeof code, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    self.criu = 0;
    self.work = IDLE;
    /* What a criu that was ended has left unsaid, or unheard, must not reach the next one. */
    self.paused = 0;
    drain(self.hooked);
    drain(HOOK_HEARS);
    last_pid(last, sizeof last);
    if (work == PLAIN) return record_send(CONTROL, "ended", code, last, (char *)NULL);
    if (status != 0) return record_send(CONTROL, "unrestored", code, (char *)NULL);
    close_program_descriptors();
    self.root = self.restored;
    self.program = self.restored_program;
    tell_started();
    if (self.early) tell_end(self.status);
}

/* The host's name of what is restored and stands still: criu has made its namespace. */
static int name_host(const char *name) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/ns/uts", self.restored);
    int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), its = open(path, O_RDONLY | O_CLOEXEC);
    int done = its < 0 || setns(its, CLONE_NEWUTS) ? -1 : sethostname(name, strlen(name));
    int why = errno;
    if (setns(own, CLONE_NEWUTS)) done = -1;
    close(own), close(its);
    errno = why;
    return done;
}

/* criu has come to a point where the program stands still; not every one is waited for. */
static void standing(char stage) {
    if (stage == (self.work == RESTORE ? 'r' : 'd')) {
        self.paused = 1;
        record_send(CONTROL, "paused", (char *)NULL);
    } else if (write(HOOK_HEARS + 1, "y", 1) != 1) send_failure("go");
}

static int reap_children(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid == self.criu) criu_ended(status);
        else if (pid == self.root) tell_end(status);
        else if (self.work == RESTORE && pid == self.restored) self.early = 1, self.status = status;
    }
    return pid < 0 && errno == ECHILD;
}

/* The program's terminal. */
static int open_terminal(const char *path) {
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -1 : move_descriptor(fd, PROGRAM_FIRST);
}

static int open_directory(const char *number, const char *path) {
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : move_descriptor(fd, DIRECTORIES + atoi(number));
}

/* Carries one record out. What answers nothing on success is sent in advance of what does. */
static void obey(struct record *said) {
    char **words = said->words;
    const char *verb = words[0];
    size_t given = said->count - 1;
    int done = 0;
    if (!strcmp(verb, "directory") && given == 2) done = open_directory(words[1], words[2]);
    else if (!strcmp(verb, "terminal") && given == 1) done = open_terminal(words[1]);
    else if (!strcmp(verb, "cover") && given >= 3)
        done = cover(words[1], words[2][0] == '-' ? NULL : words[2], words[3], words + 4);
    else if (!strcmp(verb, "bind") && given == 2) done = bind_over(words[1], words[2]);
    else if (!strcmp(verb, "identity") && given == 3) {
        self.uid = atoi(words[1]);
        self.gid = atoi(words[2]);
        snprintf(self.host, sizeof self.host, "%s", words[3]);
    } else if (!strcmp(verb, "show") && given == 2) done = show(words[1], words[2]);
    else if (!strcmp(verb, "processors") && given == 1) done = set_processors(words[1]);
    else if (!strcmp(verb, "overlay") && given >= 3) done = overlay(words[1], words[2], words[3], words + 4);
    else if (!strcmp(verb, "root") && given >= 3)
        done = change_root(words[1], words[2], words[3], words + 4);
    else if (!strcmp(verb, "copy") && given == 2) done = copy_file(words[1], words[2]);
    else if (!strcmp(verb, "ready")) record_send(CONTROL, "ready", (char *)NULL);
    else if (!strcmp(verb, "start")) start(said);
    else if (!strcmp(verb, "criu") && given > 0) run_criu(PLAIN, words + 1);
    else if (!strcmp(verb, "restore") && given > 3) {
        self.restored = (pid_t)atoi(words[1]);
        self.restored_program = (pid_t)atoi(words[2]);
        self.early = 0;
        /* All that is restored has pids up to this one: criu's own, and those of new children, come after. */
        if (set_last_pid(words[3])) done = -1;
        else run_criu(RESTORE, words + 4);
    } else if (!strcmp(verb, "name") && given == 1) done = name_host(words[1]);
    else if (!strcmp(verb, "go") && given == 1) {
        if (self.paused && write(HOOK_HEARS + 1, words[1], 1) != 1) done = -1;
        self.paused = 0;
    } else if (!strcmp(verb, "abandon") && given == 0) {
        if (self.criu && self.work == PLAIN) kill(-self.criu, SIGKILL);
    } else if (!strcmp(verb, "signal") && given == 1) {
        int number = atoi(words[1]);
        if (self.program && kill(-self.program, number)) kill(self.program, number);
    } else if (!strcmp(verb, "kill")) kill(-1, SIGKILL);
    else errno = ENOSYS, done = -1;
    if (done) send_failure(verb);
}

/* Two pipes to criu's hook, at numbers that it knows. */
static int hook_pipes(void) {
    int says[2], hears[2];
    if (pipe2(says, O_CLOEXEC) || pipe2(hears, O_CLOEXEC)) return -1;
    int high[4] = {fcntl(says[0], F_DUPFD_CLOEXEC, 64), fcntl(says[1], F_DUPFD_CLOEXEC, 64),
                   fcntl(hears[0], F_DUPFD_CLOEXEC, 64), fcntl(hears[1], F_DUPFD_CLOEXEC, 64)};
    close(says[0]), close(says[1]), close(hears[0]), close(hears[1]);
    /* Both ends stay open here, so that neither side ever meets an end of file. */
    if (move_descriptor(high[1], HOOK_SAYS) || move_descriptor(high[2], HOOK_HEARS) ||
        move_descriptor(high[3], HOOK_HEARS + 1))
        return -1;
    return high[0];
}

int init(int network) {
    sigset_t watched;
    self.uid = self.gid = -1;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_BLOCK, &watched, &self.before);
    signal(SIGPIPE, SIG_IGN);
    /* The pipes first: they take numbers that might have been given out. */
    self.hooked = hook_pipes();
    int children = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0 || self.hooked < 0) return send_failure("descriptors"), 125;
    if (mount_proc()) return send_failure("proc"), 125;
    if (mount_terminals()) return send_failure("terminals"), 125;
    if (network && raise_loopback()) return send_failure("loopback"), 125;
    struct pollfd watch[] = {{CONTROL, POLLIN, 0}, {children, POLLIN, 0}, {self.hooked, POLLIN, 0}, {OWNER_LIVES, POLLIN, 0}};
    for (;;) {
        if (poll(watch, 4, -1) < 0 && errno != EINTR) return 125;
        /* The kernel ends everything else in the namespace with its PID 1. */
        if (watch[3].revents) return 125;
        if (watch[1].revents & POLLIN) {
            struct signalfd_siginfo signal;
            while (read(children, &signal, sizeof signal) == sizeof signal) {}
            if (reap_children() && self.ended) return 0;
        }
        if (watch[2].revents & POLLIN) {
            char byte;
            /* What a criu said that has ended since means nothing. */
            if (read(self.hooked, &byte, 1) == 1 && self.criu) standing(byte);
        }
        if (watch[0].revents & POLLIN) {
            struct record said;
            if (!record_read(CONTROL, &said)) return 0;
            obey(&said);
            record_free(&said);
        } else if (watch[0].revents) return 0;
    }
}
