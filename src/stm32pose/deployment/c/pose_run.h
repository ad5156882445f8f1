/* One picture in, poses out: network.h and the decoder of pose_decode.h together. Written by stm32pose. */
#ifndef POSE_RUN_H
#define POSE_RUN_H

#include <stdint.h>

#include "pose_decode.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Find the poses of a picture.
 *   rgb       INPUT_HEIGHT x INPUT_WIDTH pixels of three bytes: red, green, blue; rows from the top
 *   poses     receives the poses, best first, in pixels of that picture
 *   capacity  poses that fit there
 * Returns how many were found. Colour order, rescaling and quantization of the network are applied here. */
int pose_run(const uint8_t *rgb, pose_t *poses, int capacity);

#ifdef __cplusplus
}
#endif

#endif /* POSE_RUN_H */
