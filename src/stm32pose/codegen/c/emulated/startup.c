/* From reset to main() on an emulated Cortex-M, and what happens when the program goes wrong. */

#include <stdint.h>

#include "semihosting.h"
#include "startup.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88UL)
#define CCR (*(volatile uint32_t *)0xE000ED14UL)
#define CFSR (*(volatile uint32_t *)0xE000ED28UL)
#define HFSR (*(volatile uint32_t *)0xE000ED2CUL)
#define BFAR (*(volatile uint32_t *)0xE000ED38UL)
#define COPROCESSORS_10_11 (0xFUL << 20) /* floating point; Helium is part of it */
#define FAULTED 3U

/* From the linker script. */
extern uint32_t stack_limit[];
extern uint32_t stack_top[];
extern uint32_t data_load[];
extern uint32_t data_start[];
extern uint32_t data_end[];
extern uint32_t bss_start[];
extern uint32_t bss_end[];

int main(void);
void systick_handler(void);
void reset_handler(void);
void fault_handler(void);
void report_fault(const uint32_t *frame);

#define UNUSED_STACK 0xA5A5A5A5UL

__attribute__((naked)) void reset_handler(void)
{
  __asm__ volatile(
      "ldr r0, =0xE000ED88\n" /* CPACR: no floating-point register may be touched before */
      "ldr r1, [r0]\n"
      "orr r1, r1, #0xF00000\n"
      "str r1, [r0]\n"
      "dsb\n"
      "isb\n"
      "bl start\n"
      ".ltorg\n");
}

__attribute__((used, noreturn)) void start(void)
{
  const uint32_t *from = data_load;
  uint32_t *to;

  for (to = data_start; to < data_end; to++) {
    *to = *from;
    from++;
  }
  for (to = bss_start; to < bss_end; to++) {
    *to = 0;
  }
  for (to = stack_limit; to < (uint32_t *)__builtin_frame_address(0) - 16; to++) {
    *to = UNUSED_STACK;
  }
  semihosting_exit((uint32_t)main());
  for (;;) {
  }
}

uint32_t stack_used(void)
{
  const volatile uint32_t *word = stack_limit;

  while ((word < stack_top) && (*word == UNUSED_STACK)) {
    word++;
  }
  return 4U * (uint32_t)(stack_top - word);
}

/* Its frame lies on the stack: r0-r3, r12, lr, pc, xpsr. */
__attribute__((naked)) void fault_handler(void)
{
  __asm__ volatile(
      "mov r0, sp\n"
      "b report_fault\n");
}

__attribute__((used)) void report_fault(const uint32_t *frame)
{
  semihosting_print("fault: pc ");
  semihosting_print_hex(frame[6]);
  semihosting_print(" lr ");
  semihosting_print_hex(frame[5]);
  semihosting_print(" cfsr ");
  semihosting_print_hex(CFSR);
  semihosting_print(" hfsr ");
  semihosting_print_hex(HFSR);
  semihosting_print(" address ");
  semihosting_print_hex(BFAR);
  semihosting_print("\n");
  semihosting_exit(FAULTED);
}

typedef void (*handler_t)(void);

__attribute__((section(".vectors"), used)) static const struct {
  uint32_t *stack;
  handler_t handlers[15];
} vectors = {
    stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     systick_handler},
};
