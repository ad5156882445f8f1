/* Runs the network on made-up input, compares with what the file's own runtime computed. Written by stm32pose. */
#include "self_test.h"

#include <string.h>

#include "network.h"
#include "test_vector.h"

/* A well mixed number for each place: the same in codegen/self_test.py of stm32pose. */
static uint32_t mixed(uint32_t place)
{
  uint32_t value = (place + 1u) * 2654435761u;
  value ^= value >> 15;
  value *= 2246822519u;
  value ^= value >> 13;
  return value;
}

void self_test_noise(uint8_t *to, int32_t bytes)
{
  int32_t i;
  for (i = 0; i < bytes; i++) {
    to[i] = (uint8_t)(mixed((uint32_t)i) >> 24);
  }
}

void self_test_noise_float(void *to, int32_t count)
{
  int32_t i;
  for (i = 0; i < count; i++) {
    const float value = (float)(mixed((uint32_t)i) >> 8) * (1.0f / 16777216.0f);
    memcpy((uint8_t *)to + 4 * i, &value, sizeof value);
  }
}

static int32_t differing(const uint8_t *got, const test_output *wanted)
{
  const int32_t size = wanted->element_bytes;
  int32_t count = 0;
  int32_t i;
  for (i = 0; i < wanted->elements; i++) {
    count += memcmp(got + size * i, wanted->bytes + size * i, (size_t)size) == 0 ? 0 : 1;
  }
  return count;
}

int32_t self_test(void)
{
  int32_t count = 0;
  int32_t i;
  network_init();
  for (i = 0; i < NETWORK_INPUTS; i++) {
    if (test_inputs[i].is_float) {
      self_test_noise_float(network_input(i), test_inputs[i].elements);
    } else {
      self_test_noise(network_input(i), test_inputs[i].elements);
    }
  }
  network_run();
  for (i = 0; i < NETWORK_OUTPUTS; i++) {
    count += differing(network_output(i), &test_outputs[i]);
  }
  return count;
}
