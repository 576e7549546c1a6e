/* What a sandbox mounts. All return 0, or -1 with errno. */
#ifndef MOUNTS_H
#define MOUNTS_H

int mount_proc(void);
/* Brings the loopback interface of a network namespace of one's own up. */
int raise_loopback(void);
/* Terminals of the sandbox's own, with numbers of their own: criu makes them again by number. */
int mount_terminals(void);
/* Covers a directory with another one, or with a file system in memory where `source` is NULL; what is in `keep` stays to be seen. */
int cover(const char *target, const char *source, const char *mode, char **keep);
int bind_over(const char *from, const char *to);
/* The same, to be read only. */
int show(const char *from, const char *to);
/* `target` as a view of itself below `layers`, the first one uppermost; what is written goes to `upper`. */
int overlay(const char *target, const char *upper, const char *work, char **layers);
/* Makes a directory the root, with proc, devices and terminals of the sandbox's own; of the machine no more is to be seen than `seen`: `rw` or `ro`, a path, and the path at which it is to be, by threes. `features` and `reaper` are copied to its /run. */
int change_root(const char *path, const char *features, const char *reaper, char **seen);
int copy_file(const char *from, const char *to);
#endif
