// Text of a JSON string up to the first byte that needs a look, copied sixteen bytes at a time.
#include "CShims.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Which look each byte needs: 1 always (control characters, quote, backslash), 2 in HTML, 4 outside ASCII.
static const uint8_t looks[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    [0x22] = 1, [0x5c] = 1, [0x3c] = 2, [0x3e] = 2, [0x26] = 2,
    [0x80] = 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
    4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
};

#if defined(__SSE2__)
// A bit per byte that needs a look.
static inline unsigned found(__m128i text, unsigned mask) {
    const __m128i always = _mm_or_si128(
        _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text),
        _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8(0x22)), _mm_cmpeq_epi8(text, _mm_set1_epi8(0x5c))));
    // '<' and '>' differ in one bit.
    const __m128i markup = _mm_or_si128(
        _mm_cmpeq_epi8(_mm_or_si128(text, _mm_set1_epi8(2)), _mm_set1_epi8(0x3e)), _mm_cmpeq_epi8(text, _mm_set1_epi8(0x26)));
    unsigned bits = (unsigned)_mm_movemask_epi8(always);
    if (mask & 2) bits |= (unsigned)_mm_movemask_epi8(markup);
    if (mask & 4) bits |= (unsigned)_mm_movemask_epi8(text);
    return bits;
}

// Sixteen bytes from here lie in one page, so that they can be read if the first can, whoever they belong to.
static inline int in_one_page(const uint8_t *from) { return ((uintptr_t)from & 4095) <= 4096 - 16; }
#endif

// The last bytes of a text are read with what happens to stand behind them, which is overwritten or never looked at.
#if defined(__clang__) || defined(__GNUC__)
#define READS_BEYOND __attribute__((no_sanitize("address")))
#else
#define READS_BEYOND
#endif

READS_BEYOND
size_t martlet_json_plain(const uint8_t *from, size_t count, unsigned mask) {
    size_t at = 0;
#if defined(__SSE2__)
    while (count - at >= 16) {
        const unsigned bits = found(_mm_loadu_si128((const __m128i *)(from + at)), mask);
        if (bits) return at + (size_t)__builtin_ctz(bits);
        at += 16;
    }
    if (at < count && in_one_page(from + at)) {
        const unsigned bits = found(_mm_loadu_si128((const __m128i *)(from + at)), mask) | 1u << (count - at);
        return at + (size_t)__builtin_ctz(bits);
    }
#endif
    while (at < count && !(looks[from[at]] & mask)) at++;
    return at;
}

READS_BEYOND
size_t martlet_json_copy_plain(uint8_t *to, const uint8_t *from, size_t count, unsigned mask) {
    size_t at = 0;
#if defined(__SSE2__)
    while (count - at >= 16) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(from + at));
        _mm_storeu_si128((__m128i *)(to + at), text);
        const unsigned bits = found(text, mask);
        if (bits) return at + (size_t)__builtin_ctz(bits);
        at += 16;
    }
    if (at < count && in_one_page(from + at)) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(from + at));
        const unsigned bits = found(text, mask) | 1u << (count - at);
        _mm_storeu_si128((__m128i *)(to + at), text);
        return at + (size_t)__builtin_ctz(bits);
    }
#endif
    while (at < count && !(looks[from[at]] & mask)) {
        to[at] = from[at];
        at++;
    }
    return at;
}
