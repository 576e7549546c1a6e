#include "guest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void buffer_add(struct buffer *buffer, const void *bytes, size_t size) {
    if (buffer->start > 0 && buffer->size + size > buffer->room) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, buffer_held(buffer));
        buffer->size -= buffer->start;
        buffer->start = 0;
    }
    if (buffer->size + size > buffer->room) {
        buffer->room = (buffer->size + size) * 2;
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (!buffer->bytes) die("memory");
    }
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

int buffer_flush(struct buffer *buffer, int fd) {
    while (buffer_held(buffer) > 0) {
        ssize_t put = write(fd, buffer->bytes + buffer->start, buffer_held(buffer));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno == EAGAIN ? 0 : -1;
        if (put == 0) return 0;
        buffer->start += (size_t)put;
    }
    buffer->start = buffer->size = 0;
    return 0;
}

char **split_words(char *bytes, size_t size, size_t *count) {
    *count = 0;
    if (size == 0 || bytes[size - 1] != 0) return NULL;
    for (size_t i = 0; i < size; i++) *count += bytes[i] == 0;
    char **words = calloc(*count + 1, sizeof *words);
    if (!words) die("memory");
    for (size_t i = 0; i < *count; i++, bytes += strlen(bytes) + 1) words[i] = bytes;
    return words;
}
