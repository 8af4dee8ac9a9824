/* Preloaded: looking up, opening and listing anything below SLOW_BELOW takes SLOW_MICROSECONDS longer, side by side. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

static void wait_for(const char *path, int operations) {
    static const char *below;
    static long microseconds = -1;
    static __thread int is_exact;
    if (microseconds < 0) {
        below = getenv("SLOW_BELOW");
        microseconds = atol(getenv("SLOW_MICROSECONDS"));
    }
    if (path != NULL && path[0] == '/' && strncmp(path, below, strlen(below)) != 0) return;
    if (!is_exact) is_exact = prctl(PR_SET_TIMERSLACK, 1) == 0;
    struct timespec wait = {0, microseconds * 1000L * operations};
    nanosleep(&wait, NULL);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define LOOK_UP(name, type) \
    int name(const char *path, struct type *found) { REAL(name); wait_for(path, 1); return real(path, found); }
#define LOOK_UP_AT(name, type) \
    int name(int at, const char *path, struct type *found, int flags) { \
        REAL(name); wait_for(path, 1); return real(at, path, found, flags); }
#define OPEN_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        wait_for(path, 1); return real(at, path, flags, mode); }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        wait_for(path, 1); return real(path, flags, mode); }

LOOK_UP(stat, stat) LOOK_UP(lstat, stat) LOOK_UP(stat64, stat64) LOOK_UP(lstat64, stat64)
LOOK_UP_AT(fstatat, stat) LOOK_UP_AT(fstatat64, stat64)
OPEN(open) OPEN(open64) OPEN_AT(openat) OPEN_AT(openat64)

int statx(int at, const char *path, int flags, unsigned mask, struct statx *found) {
    REAL(statx);
    wait_for(path, 1);
    return real(at, path, flags, mask, found);
}

DIR *opendir(const char *path) { REAL(opendir); wait_for(path, 2); return real(path); }
DIR *fdopendir(int handle) { REAL(fdopendir); wait_for(NULL, 1); return real(handle); }
