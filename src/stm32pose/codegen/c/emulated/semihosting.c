#include "semihosting.h"

#define SYS_OPEN 0x01U
#define SYS_CLOSE 0x02U
#define SYS_WRITE0 0x04U
#define SYS_WRITE 0x05U
#define SYS_READ 0x06U
#define SYS_EXIT_EXTENDED 0x20U
#define SYS_INSTRUCTIONS 0x100U /* ours: 0x100 and up are free for applications */
#define APPLICATION_EXIT 0x20026U

static int32_t call(uint32_t operation, const void *arguments)
{
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = arguments;

  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
  return (int32_t)r0;
}

static uint32_t length(const char *text)
{
  uint32_t count = 0;

  while (text[count] != '\0') {
    count++;
  }
  return count;
}

int32_t semihosting_open(const char *name, uint32_t mode)
{
  const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length(name)};

  return call(SYS_OPEN, arguments);
}

int32_t semihosting_read(int32_t file, void *bytes, uint32_t count)
{
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, count};

  return call(SYS_READ, arguments);
}

int32_t semihosting_write(int32_t file, const void *bytes, uint32_t count)
{
  const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, count};

  return call(SYS_WRITE, arguments);
}

void semihosting_close(int32_t file)
{
  const uint32_t arguments[1] = {(uint32_t)file};

  (void)call(SYS_CLOSE, arguments);
}

void semihosting_print(const char *text)
{
  (void)call(SYS_WRITE0, text);
}

void semihosting_print_hex(uint32_t value)
{
  char text[11] = "0x00000000";
  uint32_t i;

  for (i = 0; i < 8U; i++) {
    text[9U - i] = "0123456789abcdef"[(value >> (4U * i)) & 15U];
  }
  semihosting_print(text);
}

void semihosting_exit(uint32_t status)
{
  const uint32_t arguments[2] = {APPLICATION_EXIT, status};

  (void)call(SYS_EXIT_EXTENDED, arguments);
  for (;;) {
  }
}

void semihosting_instructions(uint32_t parts[2])
{
  (void)call(SYS_INSTRUCTIONS, parts);
}
