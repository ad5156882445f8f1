/* One picture in, poses out. Written by stm32pose. */
#include "pose_run.h"

#include "network.h"

int pose_run(const uint8_t *rgb, pose_t *poses, int capacity)
{
  const void *outputs[POSE_OUTPUTS_NB];
  int i;
  network_init();
  pose_fill_input_rgb(network_input(0), rgb);
  network_run();
  for (i = 0; i < POSE_OUTPUTS_NB; i++) {
    outputs[i] = network_output(i);
  }
  return pose_decode(outputs, poses, capacity);
}
