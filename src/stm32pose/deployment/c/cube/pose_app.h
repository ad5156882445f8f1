/* Poses in an STM32Cube project: call these two from main.c. Written by stm32pose. */
#ifndef POSE_APP_H
#define POSE_APP_H

#include <stdint.h>

void pose_app_init(void);

/* One picture, if the camera has one; call it in the main loop. */
void pose_app_step(void);

#endif /* POSE_APP_H */
