/* Pictures from files: PPM and BMP always, JPEG and PNG where their libraries are there. Written by stm32pose. */
#ifndef PICTURE_H
#define PICTURE_H

#include <stdint.h>

typedef struct {
  int width;
  int height;
  uint8_t *rgb; /* width * height * 3 bytes, rows from the top; free() it */
} picture_t;

/* Read a file. NULL, or a line that says what is wrong. */
const char *picture_read(const char *path, picture_t *picture);

#endif /* PICTURE_H */
