// SHA-256 of a stream (sha256.c).
#ifndef MARTLET_SHA256_SHIM_H
#define MARTLET_SHA256_SHIM_H
#include <stddef.h>
#include <stdint.h>

/// SHA-256 of a stream.
struct martlet_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
    int portable;
};

/// Starts a digest; `portable` keeps it from using the CPU's own instructions (for tests).
void martlet_sha256_start(struct martlet_sha256 *sum, int portable);
void martlet_sha256_add(struct martlet_sha256 *sum, const void *bytes, size_t length);
/// Ends it; the sum must be started again before it is used again.
void martlet_sha256_finish(struct martlet_sha256 *sum, uint8_t digest[32]);

#endif
