/* Several people from the candidates of a YOLO pose network. Written by stm32pose.
 *
 * A candidate is (x centre, y centre, width, height, score) and K times (x, y, score), or, where the network suppresses
 * overlaps itself (POSE_BOXES_END_TO_END), (left, top, right, bottom, score, class) and the same. */
#include "pose_decode.h"

#include "pose_tensor.h"

#if POSE_BOXES_END_TO_END
#define VALUES (6 + 3 * POSE_KEYPOINTS_NB)
#else
#define VALUES (5 + 3 * POSE_KEYPOINTS_NB)
#endif
#define FIRST (VALUES - 3 * POSE_KEYPOINTS_NB)
#define SHARES (2.0f) /* coordinates of an image that stay below this are shares of the input; pixels go further */

static float value_of(const void *const outputs[POSE_OUTPUTS_NB], int box, int value)
{
#if POSE_BOXES_ROWS_FIRST
  return pose_value(outputs, 0, (long)box * VALUES + value);
#else
  return pose_value(outputs, 0, (long)value * POSE_BOXES_NB + box);
#endif
}

static int is_usable(const void *const outputs[POSE_OUTPUTS_NB], int box)
{
  const float score = value_of(outputs, box, 4);
  int i;
  if (!(score >= POSE_CONFIDENCE && score > 0.0f)) {
    return 0;
  }
  for (i = 0; i < VALUES; i++) {
    if (!pose_finite(value_of(outputs, box, i))) {
      return 0;
    }
  }
  return 1;
}

#if POSE_COORDINATES == POSE_COORDINATES_LOOK
static int in_pixels(const void *const outputs[POSE_OUTPUTS_NB])
{
  int box, i;
  for (box = 0; box < POSE_BOXES_NB; box++) {
    for (i = 0; i < 4; i++) {
      const float value = value_of(outputs, box, i);
      if (pose_finite(value) && value > SHARES) {
        return 1;
      }
    }
  }
  return 0;
}
#endif

/* Left, top, right, bottom of a candidate in input pixels. */
static void corners_of(const void *const outputs[POSE_OUTPUTS_NB], int box, const float scale[2], float corners[4])
{
  float values[4];
  int i;
  for (i = 0; i < 4; i++) {
    values[i] = value_of(outputs, box, i) * scale[i % 2];
  }
#if POSE_BOXES_END_TO_END
  for (i = 0; i < 4; i++) {
    corners[i] = values[i];
  }
#else
  for (i = 0; i < 2; i++) {
    const float half = (values[i + 2] < 0.0f ? -values[i + 2] : values[i + 2]) / 2.0f;
    corners[i] = values[i] - half;
    corners[i + 2] = values[i] + half;
  }
#endif
}

#if !POSE_BOXES_END_TO_END
static float length(float low, float high)
{
  return high > low ? high - low : 0.0f;
}

/* Intersection over union of two boxes. */
static float overlap(const float a[4], const float b[4])
{
  const float across = length(a[0] > b[0] ? a[0] : b[0], a[2] < b[2] ? a[2] : b[2]);
  const float down = length(a[1] > b[1] ? a[1] : b[1], a[3] < b[3] ? a[3] : b[3]);
  const float both = across * down;
  const float area_a = length(a[0], a[2]) * length(a[1], a[3]);
  const float area_b = length(b[0], b[2]) * length(b[1], b[3]);
  const float all = area_b + area_a - both;
  return all > 0.0f ? both / all : 0.0f;
}
#endif

static void fill_pose(const void *const outputs[POSE_OUTPUTS_NB], int box, const float scale[2], pose_t *pose)
{
  const pose_t nothing = {0};
  const float limits[2] = {(float)INPUT_WIDTH, (float)INPUT_HEIGHT};
  float corners[4];
  int i, k;
  *pose = nothing;
  corners_of(outputs, box, scale, corners);
  for (i = 0; i < 4; i++) {
    corners[i] = pose_clip(corners[i], 0.0f, limits[i % 2]);
  }
  pose->box[0] = corners[0];
  pose->box[1] = corners[1];
  pose->box[2] = corners[2] - corners[0];
  pose->box[3] = corners[3] - corners[1];
  pose->score = pose_clip(value_of(outputs, box, 4), 0.0f, 1.0f);
  for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
    pose->points[k].x = value_of(outputs, box, FIRST + 3 * k) * scale[0];
    pose->points[k].y = value_of(outputs, box, FIRST + 3 * k + 1) * scale[1];
    pose->points[k].score = pose_clip(value_of(outputs, box, FIRST + 3 * k + 2), 0.0f, 1.0f);
  }
}

int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity)
{
  static uint8_t gone[POSE_BOXES_NB];
  float scale[2] = {(float)INPUT_WIDTH, (float)INPUT_HEIGHT};
  const int most = capacity < POSE_MAX_POSES ? capacity : POSE_MAX_POSES;
  int found = 0, box;
#if POSE_COORDINATES == POSE_COORDINATES_PIXELS
  scale[0] = scale[1] = 1.0f;
#elif POSE_COORDINATES == POSE_COORDINATES_LOOK
  if (in_pixels(outputs)) {
    scale[0] = scale[1] = 1.0f;
  }
#endif
  for (box = 0; box < POSE_BOXES_NB; box++) {
    gone[box] = (uint8_t)!is_usable(outputs, box);
  }
  while (found < most) {
    int best = -1;
    for (box = 0; box < POSE_BOXES_NB; box++) {
      if (!gone[box] && (best < 0 || value_of(outputs, box, 4) > value_of(outputs, best, 4))) {
        best = box;
      }
    }
    if (best < 0) {
      break;
    }
    gone[best] = 1;
    fill_pose(outputs, best, scale, &poses[found++]);
#if !POSE_BOXES_END_TO_END
    {
      float kept[4], other[4];
      corners_of(outputs, best, scale, kept);
      for (box = 0; box < POSE_BOXES_NB; box++) {
        if (!gone[box]) {
          corners_of(outputs, box, scale, other);
          gone[box] = (uint8_t)(overlap(kept, other) > POSE_NMS);
        }
      }
    }
#endif
  }
  return found;
}
