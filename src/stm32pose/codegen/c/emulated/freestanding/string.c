#include <stdint.h>
#include <string.h>

/* Words at once, wherever they lie: these processors read and write them unaligned. */
typedef uint32_t word_t __attribute__((aligned(1), may_alias));

void *memcpy(void *to, const void *from, size_t count)
{
  uint8_t *written = (uint8_t *)to;
  const uint8_t *read = (const uint8_t *)from;

  for (; count >= 16U; count -= 16U) {
    const uint32_t a = ((const word_t *)read)[0];
    const uint32_t b = ((const word_t *)read)[1];
    const uint32_t c = ((const word_t *)read)[2];
    const uint32_t d = ((const word_t *)read)[3];

    ((word_t *)written)[0] = a;
    ((word_t *)written)[1] = b;
    ((word_t *)written)[2] = c;
    ((word_t *)written)[3] = d;
    read += 16;
    written += 16;
  }
  for (; count > 0U; count--) {
    *written = *read;
    read++;
    written++;
  }
  return to;
}

void *memset(void *to, int value, size_t count)
{
  uint8_t *written = (uint8_t *)to;
  const uint32_t word = 0x01010101UL * (uint8_t)value;

  for (; count >= 4U; count -= 4U) {
    *(word_t *)written = word;
    written += 4;
  }
  for (; count > 0U; count--) {
    *written = (uint8_t)value;
    written++;
  }
  return to;
}
