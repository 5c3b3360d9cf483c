// Text of a JSON string up to the first byte that needs a look, copied sixteen bytes at a time.
#include "CShims.h"

#include <string.h>
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

size_t martlet_json_copy_plain(uint8_t *to, const uint8_t *from, size_t count, unsigned mask) {
    size_t at = 0;
#if defined(__SSE2__)
    const __m128i control = _mm_set1_epi8(0x1f), quote = _mm_set1_epi8(0x22), backslash = _mm_set1_epi8(0x5c);
    const __m128i two = _mm_set1_epi8(2), angle = _mm_set1_epi8(0x3e), ampersand = _mm_set1_epi8(0x26);
    const int html = mask & 2 ? -1 : 0, outside = mask & 4 ? -1 : 0;
    while (count - at >= 16) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(from + at));
        _mm_storeu_si128((__m128i *)(to + at), text);
        const __m128i always = _mm_or_si128(
            _mm_cmpeq_epi8(_mm_min_epu8(text, control), text),
            _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, backslash)));
        // '<' and '>' differ in one bit.
        const __m128i markup = _mm_or_si128(_mm_cmpeq_epi8(_mm_or_si128(text, two), angle), _mm_cmpeq_epi8(text, ampersand));
        const unsigned found = (unsigned)(_mm_movemask_epi8(always) | (_mm_movemask_epi8(markup) & html) | (_mm_movemask_epi8(text) & outside));
        if (found) return at + (size_t)__builtin_ctz(found);
        at += 16;
    }
#endif
    while (at < count && !(looks[from[at]] & mask)) {
        to[at] = from[at];
        at++;
    }
    return at;
}
