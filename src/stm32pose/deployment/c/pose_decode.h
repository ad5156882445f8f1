/* From the outputs of the network to poses. Written by stm32pose; ai_model_config.h says what the network is. */
#ifndef POSE_DECODE_H
#define POSE_DECODE_H

#include <stdint.h>

#include "ai_model_config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which half of a pair was found, where the network tells (hands). */
typedef enum { POSE_SIDE_UNKNOWN = 0, POSE_SIDE_LEFT = 1, POSE_SIDE_RIGHT = 2 } pose_side_t;

/* A keypoint: pixels of the network's input, x to the right, y down, (0, 0) the corner of the first pixel; score 0..1. */
typedef struct {
  float x;
  float y;
  float score;
} pose_point_t;

/* One person or hand. The box is left, top, width, height in input pixels; zeros where the network gives none. */
typedef struct {
  pose_point_t points[POSE_KEYPOINTS_NB];
  float score;
  float box[4];
  pose_side_t side;
} pose_t;

/* Decode one image.
 *   outputs   POSE_OUTPUTS_NB buffers as the network left them, channels last, still quantized
 *   poses     receives the poses, best first
 *   capacity  poses that fit there
 * Returns how many were found: 1 for networks of one person, 0 to POSE_MAX_POSES for YOLO. */
int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity);

/* Fill the network's input from INPUT_HEIGHT x INPUT_WIDTH x INPUT_CHANNELS pixels, rows from the top, channels in the
 * order that PP_COLOR_MODE names. `input` may be `pixels` itself for 8-bit inputs. */
void pose_fill_input(void *input, const uint8_t *pixels);

/* The same from pixels of three bytes, red, green, blue, whatever PP_COLOR_MODE is. */
void pose_fill_input_rgb(void *input, const uint8_t *rgb);

#ifdef __cplusplus
}
#endif

#endif /* POSE_DECODE_H */
