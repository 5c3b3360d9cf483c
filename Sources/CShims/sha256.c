// SHA-256 (FIPS 180-4) of a stream, with the CPU's instructions where there are any: a snapshot's digest is made while it is
// sent.
#include "CShims.h"
#include <string.h>

static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t word, int count) { return word >> count | word << (32 - count); }

static void blocks_portable(uint32_t state[8], const uint8_t *data, size_t count) {
    uint32_t w[64];
    for (; count > 0; count--, data += 64) {
        for (int i = 0; i < 16; i++) {
            uint32_t word;
            memcpy(&word, data + 4 * i, 4);
            w[i] = __builtin_bswap32(word);
        }
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t v[8];
        memcpy(v, state, sizeof v);
        // The eight variables stay where they are; their names move on.
#define AT(name) v[((name) - i) & 7]
#pragma GCC unroll 8
        for (int i = 0; i < 64; i++) {
            uint32_t a = AT(0), e = AT(4), f = AT(5), g = AT(6);
            uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
            uint32_t t1 = AT(7) + s1 + (((f ^ g) & e) ^ g) + round_constants[i] + w[i];
            uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
            AT(3) += t1;
            AT(7) = t1 + s0 + ((a & AT(1)) | ((a | AT(1)) & AT(2)));
        }
#undef AT
        for (int i = 0; i < 8; i++) state[i] += v[i];
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_hardware(uint32_t state[8], const uint8_t *data, size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    // The instructions want the state as (A, B, E, F) and (C, D, G, H), highest word first.
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);
    for (; count > 0; count--, data += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
#pragma clang loop unroll(full)
        for (int group = 0; group < 16; group++) {
            if (group < 4) {
                w[group] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * group)), swap);
            } else {
                __m128i last = w[(group + 3) & 3], before = w[(group + 2) & 3];
                __m128i sum = _mm_add_epi32(
                    _mm_sha256msg1_epu32(w[group & 3], w[(group + 1) & 3]), _mm_alignr_epi8(last, before, 4));
                w[group & 3] = _mm_sha256msg2_epu32(sum, last);
            }
            __m128i input = _mm_add_epi32(w[group & 3], _mm_load_si128((const __m128i *)(round_constants + 4 * group)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, input);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(input, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int has_instructions(void) {
    // The compiler's own feature test does not know these everywhere: CPUID leaf 7, EBX bit 29.
    static int known = -1;
    int value = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (value < 0) {
        uint32_t a = 7, b = 0, c = 0, d = 0;
        uint32_t highest = 0;
        __asm__ volatile("cpuid" : "=a"(highest), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
        b = 0;
        if (highest >= 7) __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
        value = (b >> 29 & 1) && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
        __atomic_store_n(&known, value, __ATOMIC_RELAXED);
    }
    return value;
}
#endif

static void blocks(uint32_t state[8], const uint8_t *data, size_t count, int portable) {
#if defined(__x86_64__)
    if (!portable && has_instructions()) {
        blocks_hardware(state, data, count);
        return;
    }
#endif
    blocks_portable(state, data, count);
}

void martlet_sha256_start(struct martlet_sha256 *sum, int portable) {
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(sum, 0, sizeof *sum);
    memcpy(sum->state, initial, sizeof initial);
    sum->portable = portable;
}

void martlet_sha256_add(struct martlet_sha256 *sum, const void *bytes, size_t length) {
    const uint8_t *data = bytes;
    size_t held = sum->length % 64;
    sum->length += length;
    if (held > 0) {
        size_t missing = 64 - held;
        if (length < missing) {
            if (length > 0) memcpy(sum->block + held, data, length);
            return;
        }
        memcpy(sum->block + held, data, missing);
        blocks(sum->state, sum->block, 1, sum->portable);
        data += missing, length -= missing;
    }
    if (length >= 64) blocks(sum->state, data, length / 64, sum->portable);
    if (length % 64 > 0) memcpy(sum->block, data + length / 64 * 64, length % 64);
}

void martlet_sha256_finish(struct martlet_sha256 *sum, uint8_t digest[32]) {
    uint64_t bits = __builtin_bswap64(sum->length * 8);
    size_t held = sum->length % 64;
    sum->block[held++] = 0x80;
    if (held > 56) {
        memset(sum->block + held, 0, 64 - held);
        blocks(sum->state, sum->block, 1, sum->portable);
        held = 0;
    }
    memset(sum->block + held, 0, 56 - held);
    memcpy(sum->block + 56, &bits, 8);
    blocks(sum->state, sum->block, 1, sum->portable);
    for (int i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(sum->state[i]);
        memcpy(digest + 4 * i, &word, 4);
    }
}
