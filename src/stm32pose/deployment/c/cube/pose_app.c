/* Poses in an STM32Cube project. Camera and display are yours to fill in. Written by stm32pose. */
#include "pose_app.h"

#include "main.h" /* of STM32CubeMX: HAL_GetTick */
#include "pose_run.h"

static pose_t poses[POSE_MAX_POSES];

/* The newest picture: INPUT_HEIGHT x INPUT_WIDTH pixels of red, green, blue, rows from the top; 0: none yet. */
__attribute__((weak)) const uint8_t *pose_app_camera(void)
{
  return 0;
}

/* What was found, in pixels of that picture, and how long it took. Points below POSE_KPTS_CONF_THRESH are doubtful. */
__attribute__((weak)) void pose_app_show(const pose_t *found, int count, uint32_t milliseconds)
{
  (void)found;
  (void)count;
  (void)milliseconds;
}

void pose_app_init(void)
{
}

void pose_app_step(void)
{
  const uint8_t *rgb = pose_app_camera();
  if (rgb != 0) {
    const uint32_t start = HAL_GetTick();
    const int count = pose_run(rgb, poses, POSE_MAX_POSES);
    pose_app_show(poses, count, HAL_GetTick() - start);
  }
}
