#define _GNU_SOURCE
#include "guest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHANNEL "thaw.0"
/* Of the kernel's headers, which musl does not bring. */
struct sockaddr_vm { unsigned short family, reserved; unsigned port, cid; unsigned char zero[4]; };
enum { VSOCK_PORT = 1024, ANY_CID = -1, COMPRESSED = 4 /* MODULE_INIT_COMPRESSED_FILE */ };

void die(const char *what) {
    dprintf(2, "thaw-guest: %s: %s\n", what, strerror(errno));
    sync();
    reboot(RB_AUTOBOOT);
    _exit(1);
}

/* What is mounted already is no error. */
static void mount_on(const char *type, const char *where, const char *how) {
    mkdir(where, 0755);
    int devices = !strcmp(type, "devtmpfs") || !strcmp(type, "devpts");
    if (mount(type, where, type, MS_NOSUID | (devices ? 0 : MS_NODEV), how) && errno != EBUSY)
        dprintf(2, "thaw-guest: %s: %s\n", where, strerror(errno));
}

static void mount_kernel_files(void) {
    mount_on("proc", "/proc", "");
    mount_on("sysfs", "/sys", "");
    mount_on("devtmpfs", "/dev", "mode=755");
}

/* In the order of their names, which is that in which they need each other. */
static void load_modules(void) {
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[300];
        if (names[i]->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        const char *end = strrchr(path, '.');
        if (syscall(SYS_finit_module, fd, "", end && strcmp(end, ".ko") ? COMPRESSED : 0) && errno != EEXIST)
            dprintf(2, "thaw-guest: %s: %s\n", path, strerror(errno));
        close(fd);
    }
}

static void wait_for(const char *path) {
    for (int i = 0; i < 4000; i++) {
        if (access(path, F_OK) == 0) return;
        usleep(5000);
    }
    errno = ENODEV;
    die(path);
}

void boot(void) {
    /* It is only asked whether a kernel boots here. */
    if (getenv("thaw_probe")) {
        dprintf(2, "thaw-guest: here\n");
        reboot(RB_AUTOBOOT);
    }
    mount_kernel_files();
    load_modules();
    wait_for("/dev/vda");
    mkdir("/root", 0755);
    if (mount("/dev/vda", "/root", "ext4", MS_NOATIME, "")) die("root file system");
    umount2("/dev", MNT_DETACH), umount2("/sys", MNT_DETACH), umount2("/proc", MNT_DETACH);
    if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/")) die("root");
    mount_kernel_files();
    mount_on("devpts", "/dev/pts", "mode=620,ptmxmode=666,gid=5");
    mount_on("tmpfs", "/dev/shm", "mode=1777");
    mount_on("tmpfs", "/run", "mode=755");
    mount_on("cgroup2", "/sys/fs/cgroup", "");
    mkdir(CGROUP, 0755);
    symlink("/proc/self/fd", "/dev/fd");
    symlink("/proc/self/fd/0", "/dev/stdin");
    symlink("/proc/self/fd/1", "/dev/stdout");
    symlink("/proc/self/fd/2", "/dev/stderr");
    raise_interface("lo");
}

/* The port of that name, as QEMU gives it; NULL while there is none. */
static char *find_port(void) {
    static char path[300];
    DIR *ports = opendir("/sys/class/virtio-ports");
    char *found = NULL;
    for (struct dirent *entry; !found && ports && (entry = readdir(ports));) {
        char name[64] = "";
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
        if (fd >= 0) close(fd);
        if (size <= 0 || strncmp(name, CHANNEL "\n", sizeof CHANNEL)) continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        found = path;
    }
    if (ports) closedir(ports);
    return found;
}

/* As Firecracker has it: the daemon connects. */
static int accept_vsock(void) {
    static int listener = -1;
    if (listener < 0) {
        struct sockaddr_vm here = {.family = AF_VSOCK, .port = VSOCK_PORT, .cid = (unsigned)ANY_CID};
        listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1)) die("vsock");
    }
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int open_channel(void) {
    if (getenv("thaw_vsock")) return accept_vsock();
    for (int i = 0; i < 4000; i++, usleep(5000)) {
        char *path = find_port();
        int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;
        if (fd >= 0) return fd;
    }
    die("channel");
    return -1;
}
