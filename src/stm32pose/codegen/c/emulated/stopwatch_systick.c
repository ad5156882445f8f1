/* The stopwatch on SysTick, for QEMU: under `-icount shift=0` an instruction takes one nanosecond of the machine's time.

   A tick is some instructions long (40 at 25 MHz). A reading therefore waits for the next tick in a loop of known length
   and counts its turns, which places its beginning within one turn. */

#include "stopwatch.h"

#ifndef STOPWATCH_PERIOD
#define STOPWATCH_PERIOD 0x1000000UL /* ticks until the timer starts again; tests take less */
#endif

#define SYST_CSR (*(volatile uint32_t *)0xE000E010UL)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014UL)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018UL)
#define RUN_FROM_PROCESSOR_CLOCK 7UL /* with its interrupt */
#define NEAR_WRAP 16UL               /* ticks around a wrap in which no reading ends: its interrupt may be on its way */

volatile uint32_t stopwatch_wraps;

void systick_handler(void);

/* Five instructions; counts.py takes them off. */
__attribute__((naked)) void systick_handler(void)
{
  __asm__ volatile(
      "ldr r0, =stopwatch_wraps\n"
      "ldr r1, [r0]\n"
      "adds r1, #1\n"
      "str r1, [r0]\n"
      "bx lr\n"
      ".ltorg\n");
}

void stopwatch_start(void)
{
  SYST_RVR = STOPWATCH_PERIOD - 1UL;
  SYST_CVR = 0;
  stopwatch_wraps = 0;
  SYST_CSR = RUN_FROM_PROCESSOR_CLOCK;
}

void stopwatch_read(stopwatch_reading_t *reading)
{
  uint32_t before;
  uint32_t now;
  uint32_t turns = 0;

  do {
    __asm__ volatile(
        "ldr %[before], [%[timer]]\n"
        "1: adds %[turns], #1\n"
        "ldr %[now], [%[timer]]\n"
        "cmp %[now], %[before]\n"
        "beq 1b\n"
        : [before] "=&l"(before), [now] "=&l"(now), [turns] "+&l"(turns)
        : [timer] "l"(&SYST_CVR)
        : "cc", "memory");
  } while ((now < NEAR_WRAP) || (now > (STOPWATCH_PERIOD - NEAR_WRAP)));
  reading->wraps = stopwatch_wraps;
  reading->ticks = STOPWATCH_PERIOD - now;
  reading->turns = turns;
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
