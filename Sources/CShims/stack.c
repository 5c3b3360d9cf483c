// The stack of the calling thread, and what the dynamic linker knows of its addresses.
#define _GNU_SOURCE
#include "CShims.h"
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>

int martlet_stack_frames(void **addresses, int maximum) { return backtrace(addresses, maximum); }

int martlet_describe_frame(void *address, const char **symbol, const char **object, size_t *offset) {
    Dl_info information;
    if (dladdr(address, &information) == 0) return 0;
    *symbol = information.dli_sname;
    *object = information.dli_fname;
    *offset = (size_t)((char *)address - (char *)information.dli_fbase);
    return 1;
}

void martlet_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
