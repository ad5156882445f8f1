/* One hand from four outputs: handedness, presence, landmarks (x, y, z) in pixels and in metres. Written by stm32pose.
 * Of the two long outputs the one with the larger numbers has the pixels. */
#include "pose_decode.h"

#include "pose_tensor.h"

static float share_of(const void *const outputs[POSE_OUTPUTS_NB], int output)
{
  const float value = pose_value(outputs, output, 0);
  return pose_is_nan(value) ? 0.0f : pose_clip(value, 0.0f, 1.0f);
}

static float largest(const void *const outputs[POSE_OUTPUTS_NB], int output)
{
  float best = 0.0f;
  long i;
  for (i = 0; i < 3L * POSE_KEYPOINTS_NB; i++) {
    const float value = pose_value(outputs, output, i);
    const float size = value < 0.0f ? -value : value;
    if (pose_finite(value) && size > best) {
      best = size;
    }
  }
  return best;
}

int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity)
{
  static const int landmarks[2] = POSE_HAND_LANDMARKS;
  const pose_t nothing = {0};
  float low[2] = {0.0f, 0.0f}, high[2] = {0.0f, 0.0f};
  float presence;
  int pixels, k;
  if (capacity < 1) {
    return 0;
  }
  poses[0] = nothing;
  presence = share_of(outputs, POSE_HAND_PRESENCE);
  pixels = largest(outputs, landmarks[1]) > largest(outputs, landmarks[0]) ? landmarks[1] : landmarks[0];
  for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
    pose_point_t *point = &poses[0].points[k];
    const float x = pose_value(outputs, pixels, 3L * k), y = pose_value(outputs, pixels, 3L * k + 1);
    const int usable = pose_finite(x) && pose_finite(y);
    point->x = usable ? x : INPUT_WIDTH / 2.0f;
    point->y = usable ? y : INPUT_HEIGHT / 2.0f;
    point->score = usable ? presence : 0.0f;
    if (k == 0 || point->x < low[0]) { low[0] = point->x; }
    if (k == 0 || point->x > high[0]) { high[0] = point->x; }
    if (k == 0 || point->y < low[1]) { low[1] = point->y; }
    if (k == 0 || point->y > high[1]) { high[1] = point->y; }
  }
  poses[0].score = presence;
  poses[0].box[0] = low[0];
  poses[0].box[1] = low[1];
  poses[0].box[2] = high[0] - low[0];
  poses[0].box[3] = high[1] - low[1];
  poses[0].side = share_of(outputs, POSE_HAND_HANDEDNESS) > 0.5f ? POSE_SIDE_RIGHT : POSE_SIDE_LEFT;
  return 1;
}
