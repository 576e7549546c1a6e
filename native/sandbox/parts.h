#ifndef PARTS_H
#define PARTS_H
#include <sys/types.h>

/* Makes the namespaces and waits for their PID 1. Returns the exit code of the process. */
int own(pid_t parent, int user, int network);
/* PID 1 of a sandbox, up to its end. */
int init(int network);
int hook(const char *stage);
int reap(pid_t program);
/* The next two are for a sandbox that is there; `target` is a process of its program. Failures are reported as records. */
/* Runs a program in all its namespaces, and ends as that ends. The words: UID GID COMMAND... */
int enter(pid_t parent, pid_t target, int user, const char *terminal, const char *cwd, char **words);
/* Takes ports of the machine and, at a byte on CONTROL, carries connections on to its loopback: ADDRESS PORT INNER-PORT, so many times. */
int publish(pid_t parent, pid_t target, int user, int count, char **words);
/* Becomes another program, which ends with `parent`. */
int tied(pid_t parent, char **argv);
/* Becomes somebody else; -1: stays. Sets the name of the host first, where one is given. Returns 0, or -1 with errno. */
int assume(int uid, int gid, const char *host);

/* Where a copy of this program lies in a sandbox: criu must find again what the reaper runs. */
#define REAPER "/run/.thaw-reaper"
#endif
