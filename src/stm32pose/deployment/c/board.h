/* What the application wants of the board: yours to fill in, board.c is an empty one. Written by stm32pose. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#include "pose_decode.h"

/* Clocks, memories, camera, display; 0, or an error of yours. */
int board_init(void);

/* The next picture: INPUT_HEIGHT x INPUT_WIDTH x INPUT_CHANNELS bytes, channels in the order of PP_COLOR_MODE, shaped as
 * ASPECT_RATIO_MODE says. NULL: there are no more, the application ends. */
const uint8_t *board_frame(void);

/* Show the poses of that picture; points below POSE_KPTS_CONF_THRESH are doubtful. */
void board_show(const pose_t *poses, int count);

#endif /* BOARD_H */
