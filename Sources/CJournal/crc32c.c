#include "journal.h"

#include <stdlib.h>
#include <string.h>

// The instruction takes eight bytes, its result three cycles; one may begin in each. So three stretches of the same length are
// summed side by side, and the sums put together: what stands before n bytes counts as if n zeros followed it, which is a
// multiplication by x^8n modulo the polynomial.

// For each processor: TARGET for whatever uses the instruction, and the instruction for a byte and for eight.
#if defined(__x86_64__)
#include <nmmintrin.h>
#define TARGET __attribute__((target("sse4.2")))
TARGET static inline uint32_t add1(uint32_t state, uint8_t byte) { return _mm_crc32_u8(state, byte); }
TARGET static inline uint32_t add8(uint32_t state, uint64_t word) { return (uint32_t)_mm_crc32_u64(state, word); }

bool sw_crc32c_supported(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__) && defined(__linux__) && defined(__AARCH64EL__)
#include <sys/auxv.h>
#define TARGET __attribute__((target("+crc")))
// By name, since the intrinsics are declared only where the whole file is compiled for processors that have them.
TARGET static inline uint32_t add1(uint32_t state, uint8_t byte) {
  __asm__("crc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
  return state;
}
TARGET static inline uint32_t add8(uint32_t state, uint64_t word) {
  __asm__("crc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
  return state;
}

bool sw_crc32c_supported(void) {
  const unsigned long crc32 = 1ul << 7;  // HWCAP_CRC32 of the kernel's ABI
  return getauxval(AT_HWCAP) & crc32;
}

#else
#define NO_INSTRUCTION
bool sw_crc32c_supported(void) { return false; }
uint32_t sw_crc32c_update(uint32_t state, const void *bytes, size_t count) {
  (void)state, (void)bytes, (void)count;
  abort();
}
#endif

#ifndef NO_INSTRUCTION

enum { LONG = 8192, SHORT = 512 };            // bytes of a stretch, multiples of eight
static const uint32_t after_long = 0x28461564;   // x^(8 * LONG) modulo the polynomial
static const uint32_t after_short = 0x74c360a4;  // x^(8 * SHORT)

static inline uint64_t load(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

// The product of two polynomials modulo that of CRC32C. The highest bit of a word is x^0.
static uint32_t product(uint32_t left, uint32_t right) {
  uint32_t sum = 0;
  for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
    sum ^= left & bit ? right : 0;
    right = right >> 1 ^ (right & 1 ? 0x82f63b78 : 0);
  }
  return sum;
}

TARGET static inline uint32_t stretches(uint32_t state, const uint8_t *bytes, size_t length, uint32_t shift) {
  uint32_t second = 0, third = 0;
  for (const uint8_t *end = bytes + length; bytes < end; bytes += 8) {
    state = add8(state, load(bytes));
    second = add8(second, load(bytes + length));
    third = add8(third, load(bytes + 2 * length));
  }
  return product(shift, product(shift, state) ^ second) ^ third;
}

TARGET uint32_t sw_crc32c_update(uint32_t state, const void *start, size_t count) {
  const uint8_t *bytes = start;
  for (; count >= 3 * LONG; bytes += 3 * LONG, count -= 3 * LONG) state = stretches(state, bytes, LONG, after_long);
  for (; count >= 3 * SHORT; bytes += 3 * SHORT, count -= 3 * SHORT) state = stretches(state, bytes, SHORT, after_short);
  for (; count >= 8; bytes += 8, count -= 8) state = add8(state, load(bytes));
  for (; count; bytes++, count--) state = add1(state, *bytes);
  return state;
}

#endif
