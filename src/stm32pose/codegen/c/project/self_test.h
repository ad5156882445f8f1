/* Runs the network on made-up input, compares with what the file's own runtime computed. Written by stm32pose. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include <stdint.h>

/* Number of output values that differ by a bit: 0 is a pass. */
int32_t self_test(void);

/* Fill `bytes` bytes of a uint8 or int8 input with noise that every machine makes alike. */
void self_test_noise(uint8_t *to, int32_t bytes);

/* The same for `count` float numbers, in [0, 1). */
void self_test_noise_float(void *to, int32_t count);

#endif /* SELF_TEST_H */
