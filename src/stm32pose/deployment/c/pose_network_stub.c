/* A network without weights for a computer: all outputs are zero. It shows that the application compiles and runs.
 * Written by stm32pose. */
#include "pose_network.h"

#include <stddef.h>

#include "ai_model_config.h"

static float input[INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS]; /* large enough for every QUANT_INPUT_TYPE */
static float output[POSE_OUTPUT_LARGEST];

int pose_network_init(void)
{
  return 0;
}

void *pose_network_input(void)
{
  return input;
}

int pose_network_run(void)
{
  return 0;
}

const void *pose_network_output(int index)
{
  return index >= 0 && index < POSE_OUTPUTS_NB ? output : NULL;
}
