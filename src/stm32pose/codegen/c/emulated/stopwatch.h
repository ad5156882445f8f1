/* The stopwatch of the emulated run: how many instructions lie between two readings. */

#ifndef STOPWATCH_H
#define STOPWATCH_H

#include <stdint.h>

/* One reading; what it means is worked out on the host (benchmark/emulate/counts.py).
   The reading itself takes time and ends at a tick of the timer: `wraps` and `ticks` tell that moment, `turns` how long
   the reading waited for it. Of an emulator that counts instructions itself, these are a count of 64 bits, and 0. */
typedef struct {
  uint32_t wraps; /* how often the timer has started again */
  uint32_t ticks; /* its ticks since then */
  uint32_t turns; /* turns of the waiting loop, STOPWATCH_LOOP instructions each */
} stopwatch_reading_t;

#define STOPWATCH_LOOP 4 /* instructions of the loop in stopwatch_read() */

void stopwatch_start(void);
void stopwatch_read(stopwatch_reading_t *reading);

/* Executes 2 * turns instructions, for the measure of a tick. */
void stopwatch_spin(uint32_t turns);

#endif
