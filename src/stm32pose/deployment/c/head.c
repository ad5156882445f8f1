/* One face from a long output of landmarks in input pixels, and perhaps one of its presence. Written by stm32pose. */
#include "pose_decode.h"

#include "pose_tensor.h"

int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity)
{
  static const uint16_t used[POSE_KEYPOINTS_NB] = POSE_HEAD_POINTS;
  const pose_t nothing = {0};
  float presence = 1.0f, best = 0.0f;
  float low[2] = {0.0f, 0.0f}, high[2] = {0.0f, 0.0f};
  int k;
  if (capacity < 1) {
    return 0;
  }
  poses[0] = nothing;
#if POSE_HEAD_PRESENCE >= 0
  presence = pose_value(outputs, POSE_HEAD_PRESENCE, 0);
  presence = pose_is_nan(presence) ? 0.0f : pose_clip(presence, 0.0f, 1.0f);
#endif
  for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
    pose_point_t *point = &poses[0].points[k];
    const long first = (long)used[k] * POSE_HEAD_VALUES;
    const float x = pose_value(outputs, POSE_HEAD_OUTPUT, first), y = pose_value(outputs, POSE_HEAD_OUTPUT, first + 1);
    const int usable = pose_finite(x) && pose_finite(y);
    point->x = usable ? x : INPUT_WIDTH / 2.0f;
    point->y = usable ? y : INPUT_HEIGHT / 2.0f;
    point->score = usable ? presence : 0.0f;
    best = point->score > best ? point->score : best;
    if (k == 0 || point->x < low[0]) { low[0] = point->x; }
    if (k == 0 || point->x > high[0]) { high[0] = point->x; }
    if (k == 0 || point->y < low[1]) { low[1] = point->y; }
    if (k == 0 || point->y > high[1]) { high[1] = point->y; }
  }
  poses[0].score = best;
  poses[0].box[0] = low[0];
  poses[0].box[1] = low[1];
  poses[0].box[2] = high[0] - low[0];
  poses[0].box[3] = high[1] - low[1];
  return 1;
}
