#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An entry: TYPE MODE SIZE MTIME CTIME PATH TARGET, each ended by a NUL, and the content of a file. Times are nanoseconds. */
enum { TYPE, MODE, SIZE, MTIME, CTIME, PATH, TARGET, WORDS };
enum { LONGEST_PATH = 4096 };

static long long nanoseconds(struct timespec time) { return time.tv_sec * 1000000000LL + time.tv_nsec; }

/* Whether it can be told of: devices, sockets and the like cannot. */
static int tell(const char *path, const struct stat *found) {
    char target[LONGEST_PATH] = "";
    char type = S_ISREG(found->st_mode) ? 'f' : S_ISDIR(found->st_mode) ? 'd' : S_ISLNK(found->st_mode) ? 'l' : 0;
    if (!type) return 0;
    if (type == 'l' && readlink(path, target, sizeof target - 1) < 0) return 0;
    printf("%c%c%o%c%lld%c%lld%c%lld%c%s%c%s%c", type, 0, (unsigned)found->st_mode & 07777, 0,
           type == 'f' ? (long long)found->st_size : 0, 0, nanoseconds(found->st_mtim), 0, nanoseconds(found->st_ctim), 0,
           path + 2, 0, target, 0);
    return 1;
}

static int visit(const char *path, const struct stat *found, int kind, struct FTW *at) {
    (void)kind;
    if (at->level > 0) tell(path, found);
    return 0;
}

/* What is below a directory, without its content. */
int list_tree(const char *root) {
    if (chdir(root)) return errno;
    if (nftw(".", visit, 64, FTW_PHYS)) return errno;
    return fflush(stdout) ? errno : 0;
}

/* The entries whose paths come on stdin, each ended by a NUL; one that has gone meanwhile is left out. */
int pack_tree(const char *root) {
    static char bytes[65536];
    char *name = NULL, path[LONGEST_PATH + 2];
    size_t room = 0;
    if (chdir(root)) return errno;
    while (getdelim(&name, &room, 0, stdin) > 0) {
        struct stat found;
        snprintf(path, sizeof path, "./%s", name);
        if (lstat(path, &found)) continue;
        int fd = S_ISREG(found.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (S_ISREG(found.st_mode) && (fd < 0 || fstat(fd, &found))) return errno;
        tell(path, &found);
        /* As many bytes as were announced, whatever becomes of the file meanwhile. */
        for (long long left = fd < 0 ? 0 : (long long)found.st_size; left > 0;) {
            ssize_t got = read(fd, bytes, left < (long long)sizeof bytes ? (size_t)left : sizeof bytes);
            if (got < 0) return errno;
            if (got == 0) memset(bytes, 0, (size_t)(got = left < (long long)sizeof bytes ? (ssize_t)left : (ssize_t)sizeof bytes));
            if (fwrite(bytes, 1, (size_t)got, stdout) != (size_t)got) return errno;
            left -= got;
        }
        if (fd >= 0) close(fd);
    }
    return fflush(stdout) ? errno : 0;
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *at) {
    (void)found, (void)at;
    return (kind == FTW_DP ? rmdir(path) : unlink(path)) && errno != ENOENT;
}

static int clear(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : nftw(path, remove_one, 64, FTW_PHYS | FTW_DEPTH);
}

/* What is replaced by a rename stays until then; a directory in the place of a file cannot be, nor the other way round. */
static int make_way(const char *path, int directory) {
    struct stat found;
    if (lstat(path, &found) || !S_ISDIR(found.st_mode) == !directory) return 0;
    return clear(path);
}

static int fill(const char *path, long long size) {
    static char bytes[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    while (size > 0) {
        size_t got = fread(bytes, 1, size < (long long)sizeof bytes ? (size_t)size : sizeof bytes, stdin);
        if (got == 0) return EPIPE;
        for (size_t put = 0; put < got;) {
            ssize_t one = write(fd, bytes + put, got - put);
            if (one < 0) return errno;
            put += (size_t)one;
        }
        size -= (long long)got;
    }
    return close(fd) ? errno : 0;
}

static struct timespec time_of(const char *text) {
    long long all = atoll(text);
    return (struct timespec){.tv_sec = all / 1000000000LL, .tv_nsec = all % 1000000000LL};
}

/* Puts entries in place that come on stdin; TYPE `-` takes away. Directories on the way are made. Who looks meanwhile finds an
   old file or a new one, never half of one. */
int unpack_tree(const char *root) {
    char *words[WORDS] = {0}, path[LONGEST_PATH + 2], draft[LONGEST_PATH + 32];
    size_t rooms[WORDS] = {0};
    snprintf(path, sizeof path, "%s/", root);
    int why = make_parents(path);
    if (why) return why;
    if (chdir(root)) return errno;
    for (;;) {
        for (int i = 0; i < WORDS; i++)
            if (getdelim(&words[i], &rooms[i], 0, stdin) <= 0) return i == 0 ? 0 : EPIPE;
        char type = words[TYPE][0];
        mode_t mode = (mode_t)strtol(words[MODE], NULL, 8);
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time_of(words[MTIME])};
        snprintf(path, sizeof path, "./%s", words[PATH]);
        if (type == '-') {
            if (clear(path)) return errno;
            continue;
        }
        if ((why = make_parents(path))) return why;
        if (make_way(path, type == 'd')) return errno;
        const char *made = path;
        if (type == 'd') {
            if (mkdir(path, 0700) && errno != EEXIST) return errno;
        } else {
            snprintf(draft, sizeof draft, "./.thaw-%d", getpid());
            made = draft;
            unlink(draft);
            if (type == 'l' ? symlink(words[TARGET], draft) : (why = fill(draft, atoll(words[SIZE])))) {
                why = why ? why : errno;
                unlink(draft);
                return why;
            }
        }
        if (type != 'l' && chmod(made, mode)) return errno;
        if (utimensat(AT_FDCWD, made, times, AT_SYMLINK_NOFOLLOW)) return errno;
        if (made == draft && rename(draft, path)) return errno;
    }
}
