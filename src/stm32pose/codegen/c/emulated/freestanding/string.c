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

/* The names by which Arm's ABI lets a compiler call them; `count` comes before `value` there. */

void __aeabi_memcpy(void *to, const void *from, size_t count);
void __aeabi_memset(void *to, size_t count, int value);
void __aeabi_memclr(void *to, size_t count);

void __aeabi_memcpy(void *to, const void *from, size_t count)
{
  (void)memcpy(to, from, count);
}

void __aeabi_memset(void *to, size_t count, int value)
{
  (void)memset(to, value, count);
}

void __aeabi_memclr(void *to, size_t count)
{
  (void)memset(to, 0, count);
}

void __aeabi_memcpy4(void *to, const void *from, size_t count) __attribute__((alias("__aeabi_memcpy")));
void __aeabi_memcpy8(void *to, const void *from, size_t count) __attribute__((alias("__aeabi_memcpy")));
void __aeabi_memset4(void *to, size_t count, int value) __attribute__((alias("__aeabi_memset")));
void __aeabi_memset8(void *to, size_t count, int value) __attribute__((alias("__aeabi_memset")));
void __aeabi_memclr4(void *to, size_t count) __attribute__((alias("__aeabi_memclr")));
void __aeabi_memclr8(void *to, size_t count) __attribute__((alias("__aeabi_memclr")));
