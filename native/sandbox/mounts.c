#define _GNU_SOURCE
#include "mounts.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif

int mount_proc(void) {
    /* What is mounted here must not spread to the machine, but its mounts may come in. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)) return -1;
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

int raise_loopback(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int done = ioctl(fd, SIOCSIFFLAGS, &lo);
    close(fd);
    return done;
}

int mount_terminals(void) {
    return mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
}

static int make_parents(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = mkdir(path, 0755) && errno != EEXIST;
        *slash = '/';
        if (failed) return -1;
    }
    return 0;
}

/* A mount point like `like` at `path`. */
static int make_point(const char *path, const struct stat *like) {
    char *copy = strdup(path);
    int done = copy ? make_parents(copy) : -1;
    free(copy);
    if (done) return -1;
    if (S_ISDIR(like->st_mode)) return mkdir(path, 0755) && errno != EEXIST ? -1 : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

/* Taken before it is covered; -1 for what has gone meanwhile, or may not be seen. */
static int take(const char *path) {
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
}

/* What was taken appears at `path`, which is made where it is missing. */
static int put(int tree, const char *path) {
    struct stat like;
    if (fstat(tree, &like)) return 0;
    if (make_point(path, &like)) return -1;
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static void close_all(int *trees, size_t count) {
    int why = errno;
    for (size_t i = 0; i < count; i++)
        if (trees[i] >= 0) close(trees[i]);
    free(trees);
    errno = why;
}

int cover(const char *target, const char *source, const char *mode, char **keep) {
    size_t count = 0;
    while (keep[count]) count++;
    int *kept = calloc(count + 1, sizeof *kept);
    if (!kept) return -1;
    for (size_t i = 0; i < count; i++) kept[i] = take(keep[i]);
    char options[32];
    snprintf(options, sizeof options, "mode=%s", mode);
    int done = source ? mount(source, target, NULL, MS_BIND | MS_REC, NULL)
                      : mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options);
    for (size_t i = 0; i < count && !done; i++)
        if (kept[i] >= 0) done = put(kept[i], keep[i]);
    close_all(kept, count);
    return done;
}

int bind_over(const char *from, const char *to) { return mount(from, to, NULL, MS_BIND | MS_REC, NULL); }

static int make_read_only(const char *path) {
    struct statvfs there;
    if (statvfs(path, &there)) return -1;
    /* Flags of the mount that it is taken from are locked in a user namespace, and may not be dropped. */
    unsigned long kept = there.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC);
    return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL);
}

int show(const char *from, const char *to) { return bind_over(from, to) ? -1 : make_read_only(to); }

/* Colons, commas and backslashes separate the options of an overlay. */
static char *escape(char *to, const char *path) {
    for (; *path; path++) {
        if (strchr("\\,:", *path)) *to++ = '\\';
        *to++ = *path;
    }
    *to = 0;
    return to;
}

int overlay(const char *target, const char *upper, const char *work, char **layers) {
    size_t size = 2 * (strlen(target) + strlen(upper) + strlen(work)) + 64;
    for (char **layer = layers; *layer; layer++) size += 2 * strlen(*layer) + 1;
    char *options = malloc(size);
    if (!options) return -1;
    char *at = stpcpy(options, "lowerdir=");
    for (char **layer = layers; *layer; layer++) at = stpcpy(escape(at, *layer), ":");
    at = escape(at, target);
    at = escape(stpcpy(at, ",upperdir="), upper);
    at = escape(stpcpy(at, ",workdir="), work);
    /* Programs compare inode numbers; without this, a file's changes when it is first written. */
    strcpy(at, geteuid() == 0 && getenv("THAW_ROOTLESS") == NULL ? ",xino=on" : ",userxattr,xino=on");
    int done = mount("overlay", target, "overlay", 0, options);
    free(options);
    return done;
}

/* An existing file or directory of the machine below the new root. */
static int expose(const char *name) {
    struct stat like;
    char path[64];
    snprintf(path, sizeof path, ".%s", name);
    if (stat(name, &like) || make_point(path, &like)) return -1;
    return mount(name, path, NULL, MS_BIND | MS_REC, NULL);
}

static int make_devices(void) {
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
                                           {"pts/ptmx", "dev/ptmx"}};
    if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")) return -1;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (expose(devices[i])) return -1;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1])) return -1;
    return mkdir("dev/shm", 0755) || expose("/dev/pts") ? -1 : 0;
}

static int enter_root(const char *path, const char *features, const char *reaper) {
    static const char *const needed[] = {"proc", "dev", "sys", "run", "tmp"};
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) || chdir(path)) return -1;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        struct stat found;
        if (mkdir(needed[i], 0755) && errno != EEXIST) return -1;
        /* A link would lead elsewhere on the machine. */
        errno = ENOTDIR;
        if (lstat(needed[i], &found) || !S_ISDIR(found.st_mode)) return -1;
    }
    if (chmod("tmp", 01777)) return -1;
    if (mount("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")) return -1;
    if (copy_file(features, "run/criu.kdat") || copy_file(reaper, "run/.thaw-reaper") || make_devices()) return -1;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) return -1;
    /* Only where the network is the sandbox's own; nothing needs it. */
    if (mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL)) errno = 0;
    /* The old root on top of the new one, and then away. */
    if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH)) return -1;
    return chdir("/");
}

/* In the new root links lead nowhere else: so what stays to be seen is taken before, and put in place afterwards. */
int change_root(const char *path, const char *features, const char *reaper, char **seen) {
    size_t count = 0;
    while (seen[count]) count++;
    count /= 3;
    int *taken = calloc(count + 1, sizeof *taken);
    if (!taken) return -1;
    int done = 0;
    for (size_t i = 0; i < count; i++) taken[i] = take(seen[3 * i + 1]);
    for (size_t i = 0; i < count; i++)
        if (taken[i] < 0) done = -1;
    if (!done) done = enter_root(path, features, reaper);
    for (size_t i = 0; i < count && !done; i++) {
        const char *at = seen[3 * i + 2];
        done = put(taken[i], at);
        if (!done && !strcmp(seen[3 * i], "ro")) done = make_read_only(at);
    }
    close_all(taken, count);
    return done;
}

int copy_file(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ssize_t size = 0;
    char bytes[16384];
    while (in >= 0 && out >= 0 && (size = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, (size_t)size) != size) size = -1;
    int done = in < 0 || out < 0 || size < 0 ? -1 : 0;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return done;
}
