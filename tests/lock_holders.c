// Library lock_holders: threads that sleep with the loader's lock, or as if with malloc's, or compute
// with the GIL. Loaded with SLEEPS_WHEN_LOADED in the environment, it does not get further than that.
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void sleep_for_ever(void) {
    if (write(1, "sleeps\n", 7) < 0) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

__attribute__((constructor)) static void load(void) {
    if (getenv("SLEEPS_WHEN_LOADED") != NULL) {
        sleep_for_ever();
    }
}

// A debugger sees who is in it, as it sees who is in libc's.
__attribute__((noinline)) void* malloc(size_t size) {
    sleep_for_ever();
    return (void*)size;
}

static void* load_library(void* name) { return dlopen((char const*)name, RTLD_NOW); }

static void* allocate(void* size) {
    void* volatile allocated = malloc((size_t)size);
    return allocated;
}

static void start(void* (*work)(void*), void* argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument) != 0) {
        _exit(1);
    }
}

// In a thread each, which Python does not know.
void hold_loader(char const* name) { start(&load_library, strdup(name)); }
void hold_malloc(void) { start(&allocate, (void*)1); }

// On the caller's thread, with the GIL if that is held: until there is a byte on stdin.
void compute_until_byte(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    unsigned volatile computed = 0;
    while (poll(&input, 1, 0) == 0) {
        for (int each = 0; each < 100000; ++each) {
            computed = computed * 3 + 1;
        }
    }
}
