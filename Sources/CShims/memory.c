// The allocator's figures, freed memory on its way back to the system, locking of memory: glibc's and Linux's own
// calls, which Swift's Glibc module lacks.
#define _GNU_SOURCE
#include "CShims.h"
#include <malloc.h>
#include <sys/mman.h>

void martlet_return_memory(void) { malloc_trim(0); }

void martlet_heap(size_t *used, size_t *unused, size_t *mapped) {
    struct mallinfo2 info = mallinfo2();
    *used = info.uordblks;
    *unused = info.fordblks;
    *mapped = info.hblkhd;
}

int martlet_lock_memory(void) {
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}
