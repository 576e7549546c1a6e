#define _GNU_SOURCE
#include "guest.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 512, HEAD = 9 };

/* A program, or a connection to a port: what one number in the frames stands for. */
struct line {
    uint32_t id;
    pid_t pid;             /* 0: a connection */
    int in, out, err;      /* -1: closed */
    int ended, status;     /* the program was reaped */
    int input_over;        /* nothing more comes for it */
    ino_t input;           /* the pipe that it reads; 0: a terminal */
    struct buffer waiting; /* for it */
    long credit;           /* bytes that the daemon still takes */
};

static struct line lines[MOST];
static size_t count;
static struct buffer outgoing;
static int channel;
static int quiet; /* everything stands still, nothing is said */

static void say(char type, uint32_t id, const void *bytes, size_t size) {
    char head[HEAD];
    uint32_t length = (uint32_t)size + 5;
    memcpy(head, &length, 4);
    head[4] = type;
    memcpy(head + 5, &id, 4);
    buffer_add(&outgoing, head, HEAD);
    buffer_add(&outgoing, bytes, size);
}

static void say_words(char type, uint32_t id, ...) {
    char text[512];
    size_t size = 0;
    va_list words;
    va_start(words, id);
    for (const char *word; (word = va_arg(words, const char *)) != NULL;)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s", word) + 1;
    va_end(words);
    say(type, id, text, size);
}

static void say_failure(uint32_t id, const char *what) {
    char number[16];
    snprintf(number, sizeof number, "%d", errno);
    say_words('f', id, what, number, (char *)NULL);
}

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static struct line *find(uint32_t id) {
    for (size_t i = 0; i < count; i++)
        if (lines[i].id == id) return &lines[i];
    return NULL;
}

static struct line *add(uint32_t id, pid_t pid, struct streams streams) {
    struct line *line = &lines[count++];
    struct stat found;
    *line = (struct line){.id = id, .pid = pid, .in = streams.in, .out = streams.out, .err = streams.err, .credit = WINDOW};
    if (pid > 0 && !fstat(streams.in, &found) && S_ISFIFO(found.st_mode)) line->input = found.st_ino;
    return line;
}

static void drop(struct line *line) {
    close_end(&line->in), close_end(&line->out), close_end(&line->err);
    free(line->waiting.bytes);
    *line = lines[--count];
}

/* Hands on what is there, up to what the daemon takes. */
static void take(struct line *line, int *fd, char type, long most) {
    static char bytes[PIECE];
    while (*fd >= 0 && most > 0) {
        ssize_t got = read(*fd, bytes, most < PIECE ? (size_t)most : PIECE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return close_end(fd);
        say(type, line->id, bytes, (size_t)got);
        line->credit -= got;
        most -= got;
    }
}

static void feed(struct line *line) {
    size_t before = buffer_held(&line->waiting);
    if (line->in < 0) line->waiting.start = line->waiting.size = 0;
    else if (buffer_flush(&line->waiting, line->in)) {
        close_end(&line->in);
        line->waiting.start = line->waiting.size = 0;
    }
    uint32_t gone = (uint32_t)(before - buffer_held(&line->waiting));
    if (gone > 0) say('a', line->id, &gone, sizeof gone);
    if (!line->input_over || buffer_held(&line->waiting) > 0) return;
    if (line->pid == 0 && line->in >= 0) shutdown(line->in, SHUT_WR);
    /* A terminal stays open: its other side is read from the same description. */
    close_end(&line->in);
}

/* Whether it is over: then it has been said, and the line is gone. */
static int settle(struct line *line) {
    char code[16] = "-", number[16] = "-";
    if (line->pid == 0) {
        if (line->out >= 0) return 0;
        say_words('x', line->id, "0", "-", (char *)NULL);
    } else {
        if (!line->ended) return 0;
        /* What it had printed comes first; what others still hold open is theirs. */
        take(line, &line->out, 'o', 1 << 20);
        take(line, &line->err, 'e', 1 << 20);
        if (WIFSIGNALED(line->status)) snprintf(number, sizeof number, "%d", WTERMSIG(line->status));
        else snprintf(code, sizeof code, "%d", WEXITSTATUS(line->status));
        say_words('x', line->id, code, number, (char *)NULL);
    }
    drop(line);
    return 1;
}

static void reap(void) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (size_t i = 0; i < count; i++)
            if (lines[i].pid == pid) lines[i].ended = 1, lines[i].status = status;
}

static void start(uint32_t id, char *bytes, size_t size, int builtin) {
    size_t given;
    struct streams streams;
    const char *what = "request";
    char **words = split_words(bytes, size, &given);
    errno = EINVAL;
    pid_t pid = words && count < MOST ? start_program(words, given, builtin, &streams, &what) : -1;
    free(words);
    if (pid < 0) return say_failure(id, what);
    char number[16];
    snprintf(number, sizeof number, "%d", pid);
    add(id, pid, streams);
    say_words('s', id, number, (char *)NULL);
}

/* To a port of the machine's loopback, of either family. */
static void reach(uint32_t id, int port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&four, sizeof four)) {
        close(fd);
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&six, sizeof six)) {
            say_failure(id, "connect");
            close_end(&fd);
            return;
        }
    }
    if (count >= MOST) {
        errno = EMFILE;
        say_failure(id, "connect");
        return close_end(&fd);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    add(id, 0, (struct streams){fcntl(fd, F_DUPFD_CLOEXEC, 0), fd, -1});
    say_words('s', id, "0", (char *)NULL);
}

/* Programs stand still, and all that they had printed has been said. */
static void hold(uint32_t id) {
    if (freeze(1)) return say_failure(id, "freeze");
    reap();
    for (size_t i = 0; i < count; i++) {
        take(&lines[i], &lines[i].out, 'o', 1 << 20);
        take(&lines[i], &lines[i].err, 'e', 1 << 20);
    }
    quiet = 1;
    say_words('q', id, "", (char *)NULL);
}

static void go_on(uint32_t id) {
    quiet = 0;
    if (freeze(0)) say_failure(id, "freeze");
    else say_words('q', id, "", (char *)NULL);
}

/* In a copy, before it is renewed: programs stand still, and what is asked for is done. */
static void serve(uint32_t id) {
    quiet = 0;
    say_words('q', id, "", (char *)NULL);
}

/* In a copy: that nothing more came for the program was said by somebody else. What it had not read yet has no end so far. */
static void reopen_input(struct line *line) {
    char path[32];
    struct stat found;
    if (!line->input_over) return;
    line->input_over = 0;
    if (line->in >= 0) return;
    if (line->input == 0) {
        line->in = fcntl(line->out, F_DUPFD_CLOEXEC, 0);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/fd/0", line->pid);
    line->in = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    /* It reads something else by now. */
    if (line->in >= 0 && (fstat(line->in, &found) || found.st_ino != line->input)) close_end(&line->in);
}

/* Words, an empty one, and behind that bytes for the random pool. */
static void begin_anew(uint32_t id, char *bytes, size_t size) {
    size_t end = 0, given;
    while (end + 1 < size && (bytes[end] || bytes[end + 1])) end++;
    char **words = split_words(bytes, end + 1, &given);
    errno = EINVAL;
    const char *failed = words && end + 2 <= size ? renew(words, given, bytes + end + 2, size - end - 2) : "request";
    free(words);
    if (failed) return say_failure(id, failed);
    /* Whoever listens now has not been told anything yet; connections were with somebody else. */
    for (size_t i = 0; i < count;) {
        lines[i].credit = WINDOW;
        if (lines[i].pid == 0) drop(&lines[i]);
        else reopen_input(&lines[i++]);
    }
    quiet = 0;
    if (freeze(0)) return say_failure(id, "freeze");
    struct utsname names;
    char version[16];
    uname(&names);
    snprintf(version, sizeof version, "%d", PROTOCOL);
    say_words('r', id, version, names.release, (char *)NULL);
}

static void obey(char type, uint32_t id, char *bytes, size_t size) {
    struct line *line = find(id);
    uint32_t number = 0;
    memcpy(&number, bytes, size < 4 ? size : 4);
    switch (type) {
    case 'R': return begin_anew(id, bytes, size);
    case 'P': return serve(id);
    case 'S': return start(id, bytes, size, 0);
    case 'B': return start(id, bytes, size, 1);
    case 'C': return reach(id, (int)number);
    case 'Q': return hold(id);
    case 'G': return go_on(id);
    case 'H': sync(), reboot(RB_AUTOBOOT); return;
    }
    /* The rest is for a line; one that is over meanwhile is no error. */
    if (!line) return;
    if (type == 'I') buffer_add(&line->waiting, bytes, size), feed(line);
    else if (type == 'E') line->input_over = 1, feed(line);
    else if (type == 'A') line->credit += number;
    else if (type == 'D') close_end(&line->out);
    else if (type == 'K' && line->pid > 0 && kill(-line->pid, (int)number)) kill(line->pid, (int)number);
    else if (type == 'W' && size == 4 && line->in >= 0) {
        struct winsize window = {.ws_row = (unsigned short)(number & 0xffff), .ws_col = (unsigned short)(number >> 16)};
        ioctl(line->in, TIOCSWINSZ, &window);
    }
}

/* Whole frames of what has come. */
static void hear(void) {
    static struct buffer incoming;
    static char bytes[65536];
    ssize_t got;
    while ((got = read(channel, bytes, sizeof bytes)) > 0) {
        buffer_add(&incoming, bytes, (size_t)got);
        while (buffer_held(&incoming) >= HEAD) {
            uint32_t length, id;
            char *at = incoming.bytes + incoming.start;
            memcpy(&length, at, 4);
            memcpy(&id, at + 5, 4);
            if (length < 5 || length > LONGEST) die("frame");
            if (buffer_held(&incoming) < length + 4) break;
            obey(at[4], id, at + HEAD, length - 5);
            incoming.start += length + 4;
        }
    }
    /* A daemon that was killed resets its connection, which is as much an end as one that it closes. */
    int over = got == 0 || (got < 0 && (errno == ECONNRESET || errno == ENOTCONN));
    if (over && getenv("thaw_vsock")) {
        close(channel);
        channel = open_channel();
        incoming.start = incoming.size = outgoing.start = outgoing.size = 0;
    }
}

int main(void) {
    sigset_t watched;
    struct pollfd watch[2 + 3 * MOST];
    if (getpid() != 1) {
        fputs("thaw-guest is the first process of a machine.\n", stderr);
        return 2;
    }
    boot();
    sigfillset(&watched);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    int children = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    channel = open_channel();
    say_words('h', 0, "", (char *)NULL);
    for (;;) {
        nfds_t used = 2;
        int crowded = buffer_held(&outgoing) > 4 * PIECE;
        watch[0] = (struct pollfd){channel, (short)(POLLIN | (buffer_held(&outgoing) ? POLLOUT : 0)), 0};
        watch[1] = (struct pollfd){children, POLLIN, 0};
        for (size_t i = 0; i < count && !quiet; i++) {
            struct line *line = &lines[i];
            int reads = !crowded && line->credit > 0;
            watch[used++] = (struct pollfd){reads ? line->out : -1, POLLIN, 0};
            watch[used++] = (struct pollfd){reads ? line->err : -1, POLLIN, 0};
            watch[used++] = (struct pollfd){buffer_held(&line->waiting) ? line->in : -1, POLLOUT, 0};
        }
        poll(watch, used, -1);
        /* Nobody is there: neither is worth a busy wait. */
        if (watch[0].revents & (POLLHUP | POLLERR)) usleep(2000);
        if (watch[1].revents & POLLIN) {
            struct signalfd_siginfo told;
            while (read(children, &told, sizeof told) == sizeof told) {}
            reap();
        }
        hear();
        for (size_t i = 0; i < count && !quiet;) {
            struct line *line = &lines[i];
            if (buffer_held(&outgoing) <= 4 * PIECE) {
                take(line, &line->out, 'o', line->credit);
                take(line, &line->err, 'e', line->credit);
            }
            if (buffer_held(&line->waiting)) feed(line);
            if (!settle(line)) i++;
        }
        buffer_flush(&outgoing, channel);
    }
}
