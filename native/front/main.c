/* The front of the command line: hands a command to a Node process that stands by (packages/thaw/src/cli/standby.ts),
 * which has its start behind it, with this process's streams, and lives on only to pass signals and the exit code.
 * Where nothing stands by, it becomes Node itself.
 *
 * front THAW.JS [ARGUMENT]... */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

/* What the one that stands by says before it begins; from then on the command is its, for better or worse. */
#define TAKEN 't'
/* So long it may take to say that. Milliseconds. */
#define PATIENCE 5000
#define UNKNOWN_END 125

static const char OPEN_FILES[] = "THAW_NOFILE", STANDBY[] = "THAW_STANDBY";
static const int PASSED[] = {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGWINCH};

/* Node raises its own limit on open files when it starts; what thaw runs is to have the caller's. */
static void open_files(char *text, size_t size) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur == RLIM_INFINITY)
    snprintf(text, size, "unlimited");
  else
    snprintf(text, size, "%llu", (unsigned long long)limit.rlim_cur);
}

/* `wanted`: afterwards one may stand by for the next command. */
static int become_node(char **argv, int wanted) {
  char limit[32];
  open_files(limit, sizeof limit);
  setenv(OPEN_FILES, limit, 1);
  if (wanted) setenv(STANDBY, "next", 1);
  argv[0] = "node";
  execvp("node", argv);
  fprintf(stderr, "thaw: node cannot be started: %s\n", strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

static int is_absolute(const char *path) { return path != NULL && path[0] == '/'; }

/* Where they stand by: the directory of state, as system/paths.ts finds it. -1: there is none. */
static int open_directory(void) {
  char path[PATH_MAX];
  const char *home = getenv("THAW_HOME"), *state = getenv("XDG_STATE_HOME"), *user = getenv("HOME");
  int length;
  if (home != NULL && home[0] != 0)
    length = snprintf(path, sizeof path, "%s/state/standby", home);
  else if (is_absolute(state))
    length = snprintf(path, sizeof path, "%s/thaw/standby", state);
  else if (is_absolute(user))
    length = snprintf(path, sizeof path, "%s/.local/state/thaw/standby", user);
  else
    return -1;
  if (length >= (int)sizeof path) return -1;
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat found;
  if (directory >= 0 && (fstat(directory, &found) != 0 || found.st_uid != geteuid() || (found.st_mode & 077))) {
    close(directory);
    return -1;
  }
  return directory;
}

/* Which build this is: how the file looks that a build writes last. Returns whether that is known. */
static int stamp_of(const char *script, char *stamp, size_t size) {
  char path[PATH_MAX];
  const char *end = strstr(script, "/bin/thaw.js");
  if (end == NULL || snprintf(path, sizeof path, "%.*s/dist/build-stamp", (int)(end - script), script) >= (int)sizeof path)
    return 0;
  struct stat found;
  if (stat(path, &found) != 0) return 0;
  return snprintf(stamp, size, "%llu.%llu.%lld.%09ld.", (unsigned long long)found.st_dev, (unsigned long long)found.st_ino,
                  (long long)found.st_mtim.tv_sec, found.st_mtim.tv_nsec) < (int)size;
}

static int connect_to(int directory, const char *name, pid_t *pid) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  /* By way of the descriptor: the directory's own path may be longer than a socket's may be. */
  if (snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name) >= (int)sizeof address.sun_path)
    return -1;
  int line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (line < 0) return -1;
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (connect(line, (struct sockaddr *)&address, sizeof address) == 0 &&
      getsockopt(line, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid()) {
    *pid = peer.pid;
    return line;
  }
  close(line);
  return -1;
}

/* A connection to one that stands by, which nobody else has; -1: there is none. */
static int claim(const char *script, pid_t *pid) {
  char stamp[128], taken[NAME_MAX + 1];
  int directory = open_directory();
  if (directory < 0) return -1;
  DIR *names = stamp_of(script, stamp, sizeof stamp) ? fdopendir(dup(directory)) : NULL;
  int line = -1;
  struct dirent *entry;
  while (line < 0 && names != NULL && (entry = readdir(names)) != NULL) {
    const char *name = entry->d_name;
    if (strncmp(name, stamp, strlen(stamp)) != 0 || strchr(name + strlen(stamp), '.') != NULL) continue;
    if (snprintf(taken, sizeof taken, "%s.taken", name) >= (int)sizeof taken) continue;
    /* Only one can rename it. */
    if (renameat(directory, name, directory, taken) != 0) continue;
    line = connect_to(directory, taken, pid);
    unlinkat(directory, taken, 0);
  }
  if (names != NULL) closedir(names);
  close(directory);
  return line;
}

struct text {
  char *bytes;
  size_t length, room;
};

static void add(struct text *text, const char *string) {
  size_t size = strlen(string) + 1;
  if (text->length + size > text->room) {
    text->room = 2 * (text->length + size);
    text->bytes = realloc(text->bytes, text->room);
    if (text->bytes == NULL) abort();
  }
  memcpy(text->bytes + text->length, string, size);
  text->length += size;
}

static void add_number(struct text *text, long value) {
  char digits[32];
  snprintf(digits, sizeof digits, "%ld", value);
  add(text, digits);
}

/* Strings, each with its NUL: pid, umask, soft limit on open files, directory, count of arguments, arguments, environment. */
static int describe(int argc, char **argv, struct text *text) {
  char directory[PATH_MAX], limit[32];
  if (getcwd(directory, sizeof directory) == NULL || directory[0] != '/') return 0;
  open_files(limit, sizeof limit);
  mode_t mask = umask(0);
  umask(mask);
  add_number(text, getpid());
  add_number(text, mask);
  add(text, limit);
  add(text, directory);
  add_number(text, argc - 2);
  for (int i = 2; i < argc; i++) add(text, argv[i]);
  for (char **one = environ; *one != NULL; one++) add(text, *one);
  return 1;
}

/* Its length, then the text; the three streams go along with the length. */
static int hand_over(int line, const struct text *text) {
  uint32_t length = (uint32_t)text->length;
  int streams[] = {0, 1, 2};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof streams)];
  } control = {0};
  struct iovec piece = {.iov_base = &length, .iov_len = sizeof length};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof streams);
  memcpy(CMSG_DATA(head), streams, sizeof streams);
  if (sendmsg(line, &message, MSG_NOSIGNAL) != sizeof length) return 0;
  for (size_t at = 0; at < text->length;) {
    ssize_t sent = send(line, text->bytes + at, text->length - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return 0;
    at += (size_t)sent;
  }
  struct pollfd wait = {.fd = line, .events = POLLIN};
  char word;
  return poll(&wait, 1, PATIENCE) == 1 && read(line, &word, 1) == 1 && word == TAKEN;
}

/* Signals that mean the command, but for those that its caller had it ignore (nohup). */
static int watch_signals(sigset_t *set) {
  sigemptyset(set);
  for (size_t i = 0; i < sizeof PASSED / sizeof *PASSED; i++) {
    struct sigaction before;
    if (sigaction(PASSED[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaddset(set, PASSED[i]);
  }
  sigaddset(set, SIGTSTP);
  sigprocmask(SIG_BLOCK, set, NULL);
  return signalfd(-1, set, SFD_CLOEXEC);
}

static void pass(pid_t pid, int number) {
  if (number != SIGTSTP) {
    kill(pid, number);
    return;
  }
  kill(pid, SIGSTOP);
  raise(SIGSTOP);
  kill(pid, SIGCONT);
}

/* Until the command has ended. Returns its exit code. */
static int follow(int line, int signals, pid_t pid) {
  struct pollfd wait[] = {{.fd = line, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  for (;;) {
    if (poll(wait, 2, -1) < 0) continue;
    struct signalfd_siginfo info;
    if (wait[1].revents && read(signals, &info, sizeof info) == sizeof info) pass(pid, (int)info.ssi_signo);
    if (!wait[0].revents) continue;
    unsigned char code;
    if (read(line, &code, 1) == 1) return code;
    fprintf(stderr, "thaw: INTERNAL: The process that carried out the command has ended without a word. Run it again.\n");
    return UNKNOWN_END;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return become_node(argv, 0);
  const char *options = getenv("NODE_OPTIONS"), *standby = getenv(STANDBY);
  if ((options != NULL && options[0] != 0) || (standby != NULL && strcmp(standby, "off") == 0)) return become_node(argv, 0);
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0) return become_node(argv, 0);
  struct text text = {0};
  pid_t pid = 0;
  if (!describe(argc, argv, &text)) return become_node(argv, 0);
  int line = claim(argv[1], &pid);
  if (line < 0) return become_node(argv, 1);
  /* From before it begins, so that none is lost. */
  sigset_t set;
  int signals = watch_signals(&set);
  if (!hand_over(line, &text)) {
    /* Once only is what a command may be carried out. */
    kill(pid, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    close(line);
    return become_node(argv, 1);
  }
  return follow(line, signals, pid);
}
