/* The one program in a machine that thaw brings along: its init, and the agent that answers the daemon. The wire is
   described in docs/guest-protocol.md. */
#ifndef GUEST_H
#define GUEST_H
#include <stddef.h>
#include <stdint.h>

enum { PROTOCOL = 1, WINDOW = 256 * 1024, PIECE = 32 * 1024, LONGEST = 1 << 20 };

/* Where programs are, so that all of them can be stopped at one moment. */
#define CGROUP "/sys/fs/cgroup/thaw"

struct buffer {
    char *bytes;
    size_t start, size, room;
};
void buffer_add(struct buffer *buffer, const void *bytes, size_t size);
/* Writes what it can to a descriptor that does not block. Returns -1 when nobody will ever read it. */
int buffer_flush(struct buffer *buffer, int fd);
static inline size_t buffer_held(const struct buffer *buffer) { return buffer->size - buffer->start; }

/* Words, each ended by a NUL; the array ends with NULL. Free the array only. */
char **split_words(char *bytes, size_t size, size_t *count);

/* boot.c: from the initial file system to the machine's own. Ends the machine when that cannot be. */
void boot(void);
int open_channel(void);
void die(const char *what);

/* programs.c: forks the program of a start; returns its pid, or -1 with errno and what failed. */
struct streams { int in, out, err; };
int start_program(char **words, size_t count, int builtin, struct streams *streams, const char **what);

/* files.c: in a process of their own, with its standard streams. Return an errno. */
int get_file(const char *path);
int put_file(const char *path, const char *mode);
int make_parents(char *path);

/* tree.c: likewise, for all below a directory. */
int list_tree(const char *root);
int pack_tree(const char *root);
int unpack_tree(const char *root);

/* meet.c: likewise. Listens on a path, says a newline, and is then the one connection that comes; or connects to one. */
int meet(const char *path);
int dial(const char *path);

/* renew.c: what a machine must not share with another that has the same memory. Returns what failed, or NULL. */
const char *renew(char **words, size_t count, const char *entropy, size_t size);
int freeze(int on);
const char *set_network(const char *address, const char *gateway, const char *names);
int raise_interface(const char *name);
#endif
