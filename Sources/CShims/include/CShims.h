// What Swift cannot say itself: CPU instructions for CRC-32C and system calls with variadic or
// platform-specific signatures.
#ifndef MARTLET_CSHIMS_H
#define MARTLET_CSHIMS_H
#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes continued from `crc` (0 to start); standard init and final xor.
uint32_t martlet_crc32c(uint32_t crc, const void *data, size_t length);

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t martlet_monotonic_ns(void);

#endif
