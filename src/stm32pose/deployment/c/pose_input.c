/* Pixels to the network's input. Written by stm32pose. */
#include "pose_decode.h"

#include <string.h>

#if QUANT_INPUT_TYPE != FLOAT32_FORMAT
/* The stored input of each pixel value: rescaling and quantization in one table. */
static const uint8_t table[256] = POSE_INPUT_TABLE;
#endif

void pose_fill_input(void *input, const uint8_t *pixels)
{
  const long count = (long)INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS;
  long i;
#if QUANT_INPUT_TYPE == FLOAT32_FORMAT
  uint8_t *values = (uint8_t *)input; /* the network's memory is bytes */
  for (i = 0; i < count; i++) {
    const float real = PP_SCALE * (float)pixels[i] + PP_OFFSET;
    memcpy(values + (long)sizeof real * i, &real, sizeof real);
  }
#else
  uint8_t *values = (uint8_t *)input; /* bit patterns, also of int8 */
  for (i = 0; i < count; i++) {
    values[i] = table[pixels[i]];
  }
#endif
}
