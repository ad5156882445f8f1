/* out[i] = clamp(sum_j weights[i][j] * in[j] + bias[i]), then -out / 2 in float. SPIN, FAULT, FOREVER and EXTRA_ARENA: what tests want of it. */

#include "network.h"

#include <string.h>

#ifndef SPIN
#define SPIN 0
#endif
#ifndef EXTRA_ARENA
#define EXTRA_ARENA 0
#endif

static const int8_t layer_0_weights[32] = {1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, -5, -6, -7, -8,
                                                             1, 0, 1, 0, 1, 0, 1, 0, 0,  1,  0,  1,  0,  1,  0,  1};
static const int32_t layer_0_bias[4] = {1, -1, 100, -100};
static int8_t arena_0[16 + EXTRA_ARENA] __attribute__((aligned(16)));

void network_init(void)
{
}

void *network_input(int32_t index)
{
  (void)index;
  return &arena_0[0];
}

const void *network_output(int32_t index)
{
  (void)index;
  return &arena_0[8];
}

static void dense(void)
{
  int32_t i;
  int32_t j;

  for (i = 0; i < 4; i++) {
    int32_t sum = layer_0_bias[i];

    for (j = 0; j < 8; j++) {
      sum += layer_0_weights[8 * i + j] * arena_0[j];
    }
    arena_0[8 + i] = (int8_t)(sum > 127 ? 127 : (sum < -128 ? -128 : sum));
  }
}

static void negate(void)
{
  volatile int32_t spin;
  float half[4];
  int32_t i;

  for (i = 0; i < 4; i++) {
    half[i] = 0.5F * (float)arena_0[8 + i];
  }
  for (spin = 0; spin < SPIN; spin++) {
  }
#ifdef FAULT
  *(volatile int32_t *)0xE0000000UL = *(volatile int32_t *)0x9F000000UL;
#endif
#ifdef FOREVER
  for (;;) {
  }
#endif
  for (i = 0; i < 4; i++) {
    arena_0[8 + i] = (int8_t)-half[i];
  }
}

void network_run_layer(int32_t layer)
{
  if (layer == 0) {
    dense();
  } else {
    negate();
  }
}

void network_run(void)
{
  dense();
  negate();
}

const char *network_layer_name(int32_t layer)
{
  return layer == 0 ? "dense" : "negate";
}
