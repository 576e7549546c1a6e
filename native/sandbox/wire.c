#define _GNU_SOURCE
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel takes arguments and environment of a few MB at most. */
#define LONGEST (64u << 20)

static int read_all(int fd, void *to, size_t size) {
    for (char *at = to; size > 0;) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        at += got;
        size -= (size_t)got;
    }
    return 1;
}

int record_read(int fd, struct record *out) {
    uint32_t size;
    if (!read_all(fd, &size, sizeof size) || size == 0 || size > LONGEST) return 0;
    out->bytes = malloc(size);
    if (!out->bytes || !read_all(fd, out->bytes, size) || out->bytes[size - 1] != 0) return 0;
    out->count = 0;
    for (uint32_t i = 0; i < size; i++) out->count += out->bytes[i] == 0;
    out->words = calloc(out->count + 1, sizeof *out->words);
    if (!out->words) return 0;
    char *at = out->bytes;
    for (size_t i = 0; i < out->count; i++, at += strlen(at) + 1) out->words[i] = at;
    return 1;
}

void record_free(struct record *record) {
    free(record->words);
    free(record->bytes);
}

void record_send(int fd, ...) {
    char out[1024];
    uint32_t size = sizeof size;
    va_list words;
    va_start(words, fd);
    for (const char *word; (word = va_arg(words, const char *)) != NULL;) {
        size_t length = strlen(word) + 1;
        if (size + length > sizeof out) break;
        memcpy(out + size, word, length);
        size += (uint32_t)length;
    }
    va_end(words);
    uint32_t body = size - (uint32_t)sizeof size;
    memcpy(out, &body, sizeof body);
    for (uint32_t sent = 0; sent < size;) {
        ssize_t put = write(fd, out + sent, size - sent);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return;
        sent += (uint32_t)put;
    }
}

void send_failure(const char *what) {
    char number[16];
    snprintf(number, sizeof number, "%d", errno);
    record_send(CONTROL, "failed", what, number, (char *)NULL);
}

void close_on_exec(int fd, int on) { fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0); }

int move_descriptor(int fd, int to) {
    if (fd == to) return 0;
    int done = dup3(fd, to, O_CLOEXEC);
    close(fd);
    return done < 0 ? -1 : 0;
}
