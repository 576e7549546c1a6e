#include "parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *stage = getenv("CRTOOLS_SCRIPT_ACTION");
    if (stage) return hook(stage);
    if (argc == 3 && !strcmp(argv[1], "reap")) return reap((pid_t)atoi(argv[2]));
    if (argc != 4) {
        fprintf(stderr, "usage: sandbox PARENT root|user host|private\n");
        return 2;
    }
    return own((pid_t)atoi(argv[1]), strcmp(argv[2], "user") == 0, strcmp(argv[3], "private") == 0);
}
