/* What the kernel grants a program beside its rights, for this process. All return 0, or -1 with errno. */
#ifndef ALLOWANCE_H
#define ALLOWANCE_H

int set_processors(const char *list);
int set_nice(const char *value);
int set_limits(const char *list);
#endif
