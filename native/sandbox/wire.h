/* Records between the daemon and a sandbox: docs/sandbox-protocol.md. */
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>

/* Descriptors that the daemon hands to the owner, and the owner to PID 1. */
enum { CONTROL = 3, PROGRAM_FIRST = 4, PROGRAM_LAST = 6, OWNER_LIVES = 7, HOOK_SAYS = 8, HOOK_HEARS = 9, DIRECTORIES = 16 };

struct record {
    char *bytes;  /* owned; the words point into it */
    size_t count;
    char **words; /* ends with NULL */
};

/* Reads one record. Returns 0 at the end of the connection or on what is no record. */
int record_read(int fd, struct record *out);
void record_free(struct record *record);
/* Writes one record; a reader that is gone is no error. Ends with (char *)NULL. */
void record_send(int fd, ...);
/* The same for an operation that failed with errno. */
void send_failure(const char *what);
/* A descriptor that ends with the next exec. */
void close_on_exec(int fd, int on);
/* Gives a descriptor another number; it ends with the next exec. Returns 0, or -1 with errno. */
int move_descriptor(int fd, int to);
#endif
