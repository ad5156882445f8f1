/* The whole application: picture, network, poses. Written by stm32pose. */
#include <stddef.h>

#include "ai_model_config.h"
#include "board.h"
#include "pose_decode.h"
#include "pose_network.h"

int main(void)
{
  static pose_t poses[POSE_MAX_POSES];
  const uint8_t *frame;
  int code = board_init();
  if (code == 0) {
    code = pose_network_init();
  }
  while (code == 0 && (frame = board_frame()) != NULL) {
    const void *outputs[POSE_OUTPUTS_NB];
    int i;
    pose_fill_input(pose_network_input(), frame);
    code = pose_network_run();
    for (i = 0; i < POSE_OUTPUTS_NB; i++) {
      outputs[i] = pose_network_output(i);
    }
    if (code == 0) {
      board_show(poses, pose_decode(outputs, poses, POSE_MAX_POSES));
    }
  }
  return code;
}
