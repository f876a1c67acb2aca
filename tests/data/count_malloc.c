/* Counts what a process asks the C library for, in blocks of at least 1 KiB: bytes alive, and their maximum since the last reset.
   cc -O2 -shared -fPIC count_malloc.c -o count_malloc.so -ldl; then run with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
static _Atomic long alive, most;

static void count(void *p, int sign) {
    size_t size = p ? malloc_usable_size(p) : 0;
    if (size < 1024) return;
    long now = atomic_fetch_add(&alive, sign * (long)size) + sign * (long)size, old = atomic_load(&most);
    while (now > old && !atomic_compare_exchange_weak(&most, &old, now)) {}
}

static void *noted(void *p) { count(p, 1); return p; }
void *malloc(size_t n) { return noted(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return noted(__libc_calloc(n, m)); }
void *memalign(size_t a, size_t n) { return noted(__libc_memalign(a, n)); }
void *aligned_alloc(size_t a, size_t n) { return noted(__libc_memalign(a, n)); }
int posix_memalign(void **p, size_t a, size_t n) { *p = noted(__libc_memalign(a, n)); return *p ? 0 : ENOMEM; }
void free(void *p) { count(p, -1); __libc_free(p); }
void *realloc(void *p, size_t n) {
    count(p, -1);
    void *q = __libc_realloc(p, n);
    count(q ? q : (n ? p : NULL), 1);
    return q;
}
long bytes_alive(void) { return atomic_load(&alive); }
long bytes_most(void) { return atomic_load(&most); }
void bytes_reset(void) { atomic_store(&most, atomic_load(&alive)); }
