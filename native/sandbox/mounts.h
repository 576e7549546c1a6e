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
int overlay(const char *target, const char *upper, const char *work);
int copy_file(const char *from, const char *to);
#endif
