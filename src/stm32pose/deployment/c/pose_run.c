/* One picture in, poses out. Written by stm32pose. */
#include "pose_run.h"

#include <string.h>

#include "network.h"

#if QUANT_INPUT_TYPE != FLOAT32_FORMAT
/* The stored input of each pixel value: rescaling and quantization in one table. */
static const uint8_t table[256] = POSE_INPUT_TABLE;
#endif

static void put(void *input, long place, uint8_t value)
{
#if QUANT_INPUT_TYPE == FLOAT32_FORMAT
  const float real = PP_SCALE * (float)value + PP_OFFSET;
  memcpy((uint8_t *)input + (long)sizeof real * place, &real, sizeof real); /* the network's memory is bytes */
#else
  ((uint8_t *)input)[place] = table[value]; /* bit patterns, also of int8 */
#endif
}

static void fill(void *input, const uint8_t *rgb)
{
  const long pixels = (long)INPUT_HEIGHT * INPUT_WIDTH;
  long i;
  for (i = 0; i < pixels; i++) {
    const uint8_t red = rgb[3 * i], green = rgb[3 * i + 1], blue = rgb[3 * i + 2];
#if PP_COLOR_MODE == GRAYSCALE_FORMAT
    /* OpenCV's weights in 1/2^15, rounded. */
    put(input, i, (uint8_t)((9798 * (int32_t)red + 19235 * (int32_t)green + 3735 * (int32_t)blue + 16384) >> 15));
#elif PP_COLOR_MODE == BGR_FORMAT
    put(input, 3 * i, blue);
    put(input, 3 * i + 1, green);
    put(input, 3 * i + 2, red);
#else
    put(input, 3 * i, red);
    put(input, 3 * i + 1, green);
    put(input, 3 * i + 2, blue);
#endif
  }
}

int pose_run(const uint8_t *rgb, pose_t *poses, int capacity)
{
  const void *outputs[POSE_OUTPUTS_NB];
  int i;
  network_init();
  fill(network_input(0), rgb);
  network_run();
  for (i = 0; i < POSE_OUTPUTS_NB; i++) {
    outputs[i] = network_output(i);
  }
  return pose_decode(outputs, poses, capacity);
}
