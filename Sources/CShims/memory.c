// Freed memory on its way back to the system.
#include "CShims.h"
#if defined(__GLIBC__)
#include <malloc.h>
#endif

void martlet_return_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
