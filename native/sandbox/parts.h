#ifndef PARTS_H
#define PARTS_H
#include <sys/types.h>

/* Makes the namespaces and waits for their PID 1. Returns the exit code of the process. */
int own(pid_t parent, int user, int network);
/* PID 1 of a sandbox, up to its end. */
int init(int network);
int hook(const char *stage);
int reap(pid_t program);

/* Where a copy of this program lies in a sandbox: criu must find again what the reaper runs. */
#define REAPER "/run/.thaw-reaper"
#endif
