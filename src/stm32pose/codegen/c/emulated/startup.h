/* What startup.c offers to main_emulated.c. */

#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* Most bytes of stack that were in use at any moment. */
uint32_t stack_used(void);

#endif
