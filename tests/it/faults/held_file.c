/* Loaded in front of the C library (LD_PRELOAD), this holds whoever opens a file for as long as another one lies beside it
 * whose name has ".hold" at the end, as a disk does that does not answer. That somebody is held is told by ".held". Only the
 * file is meant whose name HELD_FILE says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_for_real(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void wait_for(const char *path) {
    const char *name = getenv("HELD_FILE"), *slash = strrchr(path, '/');
    char hold[4096], held[4096];
    if (!name || strcmp(slash ? slash + 1 : path, name) != 0) return;
    snprintf(hold, sizeof hold, "%s.hold", path);
    snprintf(held, sizeof held, "%s.held", path);
    while (access(hold, F_OK) == 0) {
        int file = open_for_real(held, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file >= 0) close(file);
        usleep(1000);
    }
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(arguments, int) : 0;
    va_end(arguments);
    wait_for(path);
    return open_for_real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(arguments, int) : 0;
    va_end(arguments);
    wait_for(path);
    return open_for_real(path, flags, mode);
}
