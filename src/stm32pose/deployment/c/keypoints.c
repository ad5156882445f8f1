/* One person from keypoints [POSE_KEYPOINTS_NB][3], (y, x, score), y and x as shares of the input. Written by stm32pose. */
#include "pose_decode.h"

#include "pose_tensor.h"

int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity)
{
  const pose_t nothing = {0};
  float total = 0.0f;
  int k;
  if (capacity < 1) {
    return 0;
  }
  poses[0] = nothing;
  for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
    pose_point_t *point = &poses[0].points[k];
    const float y = pose_value(outputs, 0, 3L * k);
    const float x = pose_value(outputs, 0, 3L * k + 1);
    const float score = pose_value(outputs, 0, 3L * k + 2);
    const int usable = pose_finite(x) && pose_finite(y) && pose_finite(score);
    point->x = (usable ? x : 0.5f) * INPUT_WIDTH;
    point->y = (usable ? y : 0.5f) * INPUT_HEIGHT;
    point->score = usable ? pose_clip(score, 0.0f, 1.0f) : 0.0f;
    total += point->score;
  }
  poses[0].score = total / POSE_KEYPOINTS_NB;
  return 1;
}
