#include "parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] = "usage: sandbox PARENT root|user host|private\n"
                            "       sandbox enter PARENT TARGET root|user TERMINAL|- CWD UID GID COMMAND...\n"
                            "       sandbox publish PARENT TARGET root|user (ADDRESS PORT INNER-PORT)...\n"
                            "       sandbox tied PARENT COMMAND...\n";

static pid_t pid(const char *word) { return (pid_t)atoi(word); }

static int is(const char *word, const char *other) { return strcmp(word, other) == 0; }

int main(int argc, char **argv) {
    /* criu gives its action script no words. */
    const char *stage = argc == 1 ? getenv("CRTOOLS_SCRIPT_ACTION") : NULL;
    if (stage) return hook(stage);
    if (argc == 3 && is(argv[1], "reap")) return reap(pid(argv[2]));
    if (argc > 3 && is(argv[1], "tied")) return tied(pid(argv[2]), argv + 3);
    if (argc > 5) {
        const char *what = argv[1];
        pid_t parent = pid(argv[2]), target = pid(argv[3]);
        int user = is(argv[4], "user");
        if (is(what, "enter") && argc > 9) return enter(parent, target, user, argv[5], argv[6], argv + 7);
        if (is(what, "publish") && argc % 3 == 2) return publish(parent, target, user, (argc - 5) / 3, argv + 5);
    }
    if (argc == 4) return own(pid(argv[1]), is(argv[2], "user"), is(argv[3], "private"));
    fputs(USAGE, stderr);
    return 2;
}
