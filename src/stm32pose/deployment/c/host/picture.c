/* Pictures from files. Written by stm32pose. */
#include "picture.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef POSE_HAS_JPEG
#include <jpeglib.h>
#endif
#ifdef POSE_HAS_PNG
#include <png.h>
#endif

#define LARGEST (32768) /* pixels a side */

static const char *reserve(picture_t *picture, long width, long height)
{
  if (width < 1 || height < 1 || width > LARGEST || height > LARGEST) {
    return "its size is no picture's";
  }
  picture->width = (int)width;
  picture->height = (int)height;
  picture->rgb = malloc((size_t)width * (size_t)height * 3u);
  return picture->rgb ? NULL : "there is not enough memory";
}

/* The next whole number of a PPM header, comments skipped; -1: there is none. */
static long header_number(FILE *file)
{
  long value = 0;
  int digits = 0;
  int letter = fgetc(file);
  while (letter == '#' || letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r') {
    if (letter == '#') {
      while (letter != '\n' && letter != EOF) {
        letter = fgetc(file);
      }
    } else {
      letter = fgetc(file);
    }
  }
  while (letter >= '0' && letter <= '9' && value < 1000000) {
    value = 10 * value + (letter - '0');
    digits++;
    letter = fgetc(file);
  }
  return digits > 0 ? value : -1;
}

static const char *read_ppm(FILE *file, picture_t *picture)
{
  const long width = header_number(file), height = header_number(file), most = header_number(file);
  const char *problem;
  size_t size;
  if (most != 255) {
    return "a PPM file of 8 bits (P6, 255) is wanted";
  }
  problem = reserve(picture, width, height);
  if (problem != NULL) {
    return problem;
  }
  size = (size_t)width * (size_t)height * 3u;
  return fread(picture->rgb, 1, size, file) == size ? NULL : "it ends too early";
}

static uint32_t little(const uint8_t *bytes, int count)
{
  uint32_t value = 0;
  while (count-- > 0) {
    value = (value << 8) | bytes[count];
  }
  return value;
}

static const char *read_bmp(FILE *file, picture_t *picture)
{
  uint8_t head[52];
  uint8_t pixel[4];
  long width, height, row, column;
  int upwards, bytes;
  const char *problem;
  if (fread(head, 1, sizeof head, file) != sizeof head) {
    return "it ends too early";
  }
  width = (long)(int32_t)little(head + 16, 4);
  height = (long)(int32_t)little(head + 20, 4);
  bytes = (int)little(head + 26, 2) / 8;
  if ((bytes != 3 && bytes != 4) || little(head + 28, 4) != 0) {
    return "a BMP file of 24 or 32 bits without compression is wanted";
  }
  upwards = height > 0;
  problem = reserve(picture, width, upwards ? height : -height);
  if (problem != NULL) {
    return problem;
  }
  height = picture->height;
  if (fseek(file, (long)little(head + 8, 4), SEEK_SET) != 0) {
    return "it ends too early";
  }
  for (row = 0; row < height; row++) {
    uint8_t *to = picture->rgb + 3 * width * (upwards ? height - 1 - row : row);
    const long rest = (4 - width * bytes % 4) % 4;
    for (column = 0; column < width; column++) {
      if (fread(pixel, 1, (size_t)bytes, file) != (size_t)bytes) {
        return "it ends too early";
      }
      to[3 * column] = pixel[2];
      to[3 * column + 1] = pixel[1];
      to[3 * column + 2] = pixel[0];
    }
    if (rest > 0 && fseek(file, rest, SEEK_CUR) != 0) {
      return "it ends too early";
    }
  }
  return NULL;
}

#ifdef POSE_HAS_JPEG
typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf escape;
} jpeg_failure;

static void jpeg_gives_up(j_common_ptr decoder)
{
  longjmp(((jpeg_failure *)decoder->err)->escape, 1);
}

static const char *read_jpeg(FILE *file, picture_t *picture)
{
  struct jpeg_decompress_struct decoder;
  jpeg_failure failure;
  decoder.err = jpeg_std_error(&failure.base);
  failure.base.error_exit = jpeg_gives_up;
  if (setjmp(failure.escape)) {
    jpeg_destroy_decompress(&decoder);
    return "the JPEG file is damaged";
  }
  jpeg_create_decompress(&decoder);
  jpeg_stdio_src(&decoder, file);
  (void)jpeg_read_header(&decoder, TRUE);
  decoder.out_color_space = JCS_RGB;
  (void)jpeg_start_decompress(&decoder);
  if (reserve(picture, (long)decoder.output_width, (long)decoder.output_height) != NULL) {
    jpeg_destroy_decompress(&decoder);
    return "there is not enough memory";
  }
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPROW row = picture->rgb + (size_t)3 * decoder.output_width * decoder.output_scanline;
    (void)jpeg_read_scanlines(&decoder, &row, 1);
  }
  (void)jpeg_finish_decompress(&decoder);
  jpeg_destroy_decompress(&decoder);
  return NULL;
}
#endif

#ifdef POSE_HAS_PNG
static const char *read_png(const char *path, picture_t *picture)
{
  png_image image;
  const char *problem;
  memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(&image, path)) {
    return "the PNG file is damaged";
  }
  image.format = PNG_FORMAT_RGB;
  problem = reserve(picture, (long)image.width, (long)image.height);
  if (problem == NULL && !png_image_finish_read(&image, NULL, picture->rgb, 0, NULL)) {
    problem = "the PNG file is damaged";
  }
  png_image_free(&image);
  return problem;
}
#endif

const char *picture_read(const char *path, picture_t *picture)
{
  uint8_t mark[2] = {0, 0};
  const char *problem = "PPM and BMP files are known (JPEG and PNG where libjpeg and libpng were there to build with)";
  FILE *file = fopen(path, "rb");
  picture->rgb = NULL;
  if (file == NULL) {
    return "it cannot be opened";
  }
  if (fread(mark, 1, 2, file) != 2) {
    problem = "it is empty";
  } else if (mark[0] == 'P' && mark[1] == '6') {
    problem = read_ppm(file, picture);
  } else if (mark[0] == 'B' && mark[1] == 'M') {
    problem = read_bmp(file, picture);
  }
#ifdef POSE_HAS_JPEG
  else if (mark[0] == 0xff && mark[1] == 0xd8) {
    rewind(file);
    problem = read_jpeg(file, picture);
  }
#endif
#ifdef POSE_HAS_PNG
  else if (mark[0] == 0x89 && mark[1] == 'P') {
    problem = read_png(path, picture);
  }
#endif
  (void)fclose(file);
  if (problem != NULL) {
    free(picture->rgb);
    picture->rgb = NULL;
  }
  return problem;
}
