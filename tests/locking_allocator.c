/* An allocator with a mutex, as jemalloc has: whatever allocates locks it, and fork() holds it. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static pthread_mutex_t of_arena = PTHREAD_MUTEX_INITIALIZER;
static char* next = NULL;
static char* end = NULL;

static void* take(size_t size, size_t alignment) {
    size_t const chunk = (size_t)1 << 26;
    pthread_mutex_lock(&of_arena);
    if (next == NULL || size + alignment + 16 > (size_t)(end - next)) {
        size_t const wanted = size + alignment + 16 > chunk ? size + alignment + 4096 : chunk;
        next = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        end = next + wanted;
    }
    uintptr_t const place = ((uintptr_t)next + 16 + alignment - 1) & ~(alignment - 1);
    ((size_t*)place)[-1] = size;
    next = (char*)place + ((size + 15) & ~(size_t)15);
    pthread_mutex_unlock(&of_arena);
    return (void*)place;
}

void* malloc(size_t size) { return take(size, 16); }
void* calloc(size_t count, size_t size) { return take(count * size, 16); }
void free(void* given) {
    if (given != NULL) {
        pthread_mutex_lock(&of_arena);
        pthread_mutex_unlock(&of_arena);
    }
}
void* realloc(void* given, size_t size) {
    void* const made = take(size, 16);
    if (given != NULL) {
        size_t const before = ((size_t*)given)[-1];
        memcpy(made, given, before < size ? before : size);
    }
    return made;
}
void* memalign(size_t alignment, size_t size) {
    return take(size, alignment < 16 ? 16 : alignment);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** made, size_t alignment, size_t size) {
    *made = memalign(alignment, size);
    return 0;
}

static void hold(void) { pthread_mutex_lock(&of_arena); }
static void let_go(void) { pthread_mutex_unlock(&of_arena); }
__attribute__((constructor)) static void begin(void) { pthread_atfork(hold, let_go, let_go); }
