// What Swift cannot say itself: CPU instructions for CRC-32C and system calls with variadic or
// platform-specific signatures.
#ifndef MARTLET_CSHIMS_H
#define MARTLET_CSHIMS_H
#include <stddef.h>
#include <stdint.h>
#include "SHA256Shim.h"

/// CRC-32C (Castagnoli) of `length` bytes continued from `crc` (0 to start); standard init and final xor.
uint32_t martlet_crc32c(uint32_t crc, const void *data, size_t length);

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t martlet_monotonic_ns(void);
/// The same clock as of the last tick of the kernel.
uint64_t martlet_monotonic_coarse_ns(void);

/// Return addresses of the calling thread's stack, innermost first; returns how many.
int martlet_stack_frames(void **addresses, int maximum);

/// Symbol (or NULL), object file and offset in it of a code address; 0 when the linker knows nothing.
int martlet_describe_frame(void *address, const char **symbol, const char **object, size_t *offset);

/// Names the calling thread (15 bytes at most) for ps, top and debuggers.
void martlet_name_thread(const char *name);

/// Reserves the first `length` bytes of a file; keeps its size if asked to. 0, or -1 and errno.
int martlet_fallocate(int descriptor, int keep_size, int64_t length);

/// Takes an exclusive open-file-description lock on the whole file, as etcd does. 0, or -1 and errno.
int martlet_lock_file(int descriptor);

/// Gives memory that was freed back to the system, where the allocator knows how.
void martlet_return_memory(void);

/// Bytes of the main heap in use and free, and of blocks mapped by themselves.
void martlet_heap(size_t *used, size_t *unused, size_t *mapped);

/// Copies bytes of a JSON string up to the first one that needs a look; returns how many were copied. `to` must have room
/// for `count` and 16 more: what stands there behind those copied is undefined. `mask`: 1 control characters, quote and backslash; 2 `<`, `>`
/// and `&`; 4 all outside ASCII.
size_t martlet_json_copy_plain(uint8_t *to, const uint8_t *from, size_t count, unsigned mask);

/// How many bytes that would copy.
size_t martlet_json_plain(const uint8_t *from, size_t count, unsigned mask);

/// Keeps every page of the process in memory from the moment it is first touched. 0, or -1 and errno.
int martlet_lock_memory(void);

#endif
