/* Pixels to the network's input. Written by stm32pose. */
#include "pose_decode.h"

#include <string.h>

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

void pose_fill_input(void *input, const uint8_t *pixels)
{
  const long count = (long)INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS;
  long i;
  for (i = 0; i < count; i++) {
    put(input, i, pixels[i]);
  }
}

void pose_fill_input_rgb(void *input, const uint8_t *rgb)
{
#if PP_COLOR_MODE == RGB_FORMAT
  pose_fill_input(input, rgb);
#else
  const long pixels = (long)INPUT_HEIGHT * INPUT_WIDTH;
  long i;
  for (i = 0; i < pixels; i++) {
    const uint8_t red = rgb[3 * i], green = rgb[3 * i + 1], blue = rgb[3 * i + 2];
#if PP_COLOR_MODE == BGR_FORMAT
    put(input, 3 * i, blue);
    put(input, 3 * i + 1, green);
    put(input, 3 * i + 2, red);
#else
    /* Grey by OpenCV's weights in 1/2^15, rounded. */
    put(input, i, (uint8_t)((9798 * (int32_t)red + 19235 * (int32_t)green + 3735 * (int32_t)blue + 16384) >> 15));
#endif
  }
#endif
}
