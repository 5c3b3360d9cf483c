// fallocate is visible only with _GNU_SOURCE, which Swift's Glibc module does not define.
#define _GNU_SOURCE
#include "CShims.h"
#include <fcntl.h>

int martlet_fallocate(int descriptor, int keep_size, int64_t length) {
    return fallocate(descriptor, keep_size ? FALLOC_FL_KEEP_SIZE : 0, 0, length);
}

int martlet_lock_file(int descriptor) {
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_SETLK, &range);
}
