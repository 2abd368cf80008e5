// Library lock_holders: threads that sleep with the loader's lock, or as if with malloc's. Loaded
// with SLEEPS_WHEN_LOADED in the environment, it does not get further than that.
#include <dlfcn.h>
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
