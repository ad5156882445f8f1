/* The stopwatch of an emulator that counts instructions itself. */

#include "semihosting.h"
#include "stopwatch.h"

void systick_handler(void);

void systick_handler(void)
{
}

void stopwatch_start(void)
{
}

void stopwatch_read(stopwatch_reading_t *reading)
{
  uint32_t parts[2] = {0, 0};

  semihosting_instructions(parts);
  reading->ticks = parts[0];
  reading->wraps = parts[1];
  reading->turns = 0;
}

void stopwatch_spin(uint32_t turns)
{
  __asm__ volatile(
      "1: subs %[turns], #1\n"
      "bne 1b\n"
      : [turns] "+&l"(turns)
      :
      : "cc");
}
