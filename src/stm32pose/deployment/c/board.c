/* A board that shows one grey picture and prints what was found: replace it by yours. Written by stm32pose. */
#include "board.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static uint8_t picture[INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS];
static int shown;

int board_init(void)
{
  memset(picture, 128, sizeof picture);
  return 0;
}

const uint8_t *board_frame(void)
{
  return shown++ ? NULL : picture;
}

void board_show(const pose_t *poses, int count)
{
  static const char *const names[POSE_KEYPOINTS_NB] = POSE_KEYPOINT_NAMES;
  int i, k;
  for (i = 0; i < count; i++) {
    printf("pose %d, score %.2f\n", i, (double)poses[i].score);
    for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
      const pose_point_t *point = &poses[i].points[k];
      printf("  %-20s %7.1f %7.1f  %.2f%s\n", names[k], (double)point->x, (double)point->y, (double)point->score,
             point->score < POSE_KPTS_CONF_THRESH ? " ?" : "");
    }
  }
}
