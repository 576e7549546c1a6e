#define _GNU_SOURCE
#include "guest.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Of the kernel's headers, which musl does not bring. */
#define RNDADDENTROPY 0x40085203
#define RNDRESEEDCRNG 0x5207

static const char *set_time(const char *seconds, const char *nanoseconds) {
    struct timespec now = {atoll(seconds), atol(nanoseconds)};
    return clock_settime(CLOCK_REALTIME, &now) ? "clock" : NULL;
}

/* The pool gets new bytes and then draws its next key from them: without the second step, machines that came from one
   memory go on giving out the same numbers for as long as the old key lasts. */
static const char *stir(const char *entropy, size_t size) {
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0) return "urandom";
    struct { int bits, size; char bytes[512]; } added;
    if (size > sizeof added.bytes) size = sizeof added.bytes;
    added.bits = (int)size * 8;
    added.size = (int)size;
    memcpy(added.bytes, entropy, size);
    int failed = ioctl(fd, RNDADDENTROPY, &added) || ioctl(fd, RNDRESEEDCRNG);
    close(fd);
    return failed ? "random pool" : NULL;
}

int raise_interface(const char *name) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int failed = fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    failed = failed || ioctl(fd, SIOCSIFFLAGS, &request);
    if (fd >= 0) close(fd);
    return failed ? -1 : 0;
}

static int set_address(int fd, unsigned long what, const char *text) {
    struct ifreq request = {0};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    strcpy(request.ifr_name, "eth0");
    address->sin_family = AF_INET;
    return inet_pton(AF_INET, text, &address->sin_addr) != 1 || ioctl(fd, what, &request);
}

const char *set_network(const char *address, const char *gateway, const char *names) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return "network";
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_dst, *by = (struct sockaddr_in *)&route.rt_gateway;
    to->sin_family = by->sin_family = ((struct sockaddr_in *)&route.rt_genmask)->sin_family = AF_INET;
    inet_pton(AF_INET, gateway, &by->sin_addr);
    int failed = set_address(fd, SIOCSIFADDR, address) || set_address(fd, SIOCSIFNETMASK, "255.255.255.0") ||
                 raise_interface("eth0") || (ioctl(fd, SIOCADDRT, &route) && errno != EEXIST);
    close(fd);
    if (failed) return "network";
    unlink("/etc/resolv.conf");
    FILE *file = fopen("/etc/resolv.conf", "we");
    if (!file) return "names";
    fprintf(file, "nameserver %s\n", names);
    fclose(file);
    return NULL;
}

/* SECONDS NANOSECONDS HOSTNAME [ADDRESS GATEWAY NAMES] */
const char *renew(char **words, size_t count, const char *entropy, size_t size) {
    if (count < 3) return "request";
    const char *failed = set_time(words[0], words[1]);
    if (!failed) failed = stir(entropy, size);
    if (!failed && words[2][0] && sethostname(words[2], strlen(words[2]))) failed = "hostname";
    if (!failed && count >= 6) failed = set_network(words[3], words[4], words[5]);
    return failed;
}

static int is_frozen(int on) {
    char text[128] = "", wanted[] = "frozen 0";
    wanted[7] = on ? '1' : '0';
    int fd = open(CGROUP "/cgroup.events", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    return size > 0 && strstr(text, wanted) != NULL;
}

int freeze(int on) {
    int fd = open(CGROUP "/cgroup.freeze", O_WRONLY | O_CLOEXEC);
    int failed = fd < 0 || write(fd, on ? "1" : "0", 1) != 1;
    if (fd >= 0) close(fd);
    for (int i = 0; !failed && i < 10000; i++) {
        if (is_frozen(on)) return 0;
        usleep(500);
    }
    if (!failed) errno = ETIMEDOUT;
    return -1;
}
