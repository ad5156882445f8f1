/* pose_run IMAGE [output.json]: the poses of a picture, on a computer. Written by stm32pose. */
#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "picture.h"
#include "pose_run.h"

/* Picture pixels to input pixels: input = scale * picture + shift. */
typedef struct {
  double scale_x, scale_y, shift_x, shift_y;
} fit_t;

static fit_t fit_of(const picture_t *picture)
{
  fit_t fit;
  fit.scale_x = (double)INPUT_WIDTH / picture->width;
  fit.scale_y = (double)INPUT_HEIGHT / picture->height;
  if (ASPECT_RATIO_MODE == ASPECT_RATIO_PADDING) {
    fit.scale_x = fit.scale_y = fit.scale_x < fit.scale_y ? fit.scale_x : fit.scale_y;
  } else if (ASPECT_RATIO_MODE == ASPECT_RATIO_CROP) {
    fit.scale_x = fit.scale_y = fit.scale_x > fit.scale_y ? fit.scale_x : fit.scale_y;
  }
  fit.shift_x = INPUT_WIDTH / 2.0 - fit.scale_x * picture->width / 2.0;
  fit.shift_y = INPUT_HEIGHT / 2.0 - fit.scale_y * picture->height / 2.0;
  return fit;
}

static int limited(int value, int most)
{
  return value < 0 ? 0 : value > most ? most : value;
}

/* The mean over what an input pixel covers of the picture (shrinking), or between its neighbours (enlarging). */
static double sample(const picture_t *picture, double x, double y, double half_x, double half_y, int channel)
{
  const int left = (int)floor(x - half_x), right = (int)floor(x + half_x);
  const int top = (int)floor(y - half_y), bottom = (int)floor(y + half_y);
  double sum = 0.0, total = 0.0;
  int i, j;
  for (j = top; j <= bottom; j++) {
    const double low = y - half_y > j ? y - half_y : j, high = y + half_y < j + 1 ? y + half_y : j + 1;
    for (i = left; i <= right; i++) {
      const double begin = x - half_x > i ? x - half_x : i, end = x + half_x < i + 1 ? x + half_x : i + 1;
      const double weight = (end - begin) * (high - low);
      const long row = limited(j, picture->height - 1), column = limited(i, picture->width - 1);
      sum += weight * picture->rgb[3 * (row * picture->width + column) + channel];
      total += weight;
    }
  }
  return total > 0.0 ? sum / total : 0.0;
}

static void shrink(const picture_t *picture, const fit_t *fit, uint8_t *rgb)
{
  const double half_x = 0.5 / (fit->scale_x < 1.0 ? fit->scale_x : 1.0);
  const double half_y = 0.5 / (fit->scale_y < 1.0 ? fit->scale_y : 1.0);
  int row, column, channel;
  for (row = 0; row < INPUT_HEIGHT; row++) {
    for (column = 0; column < INPUT_WIDTH; column++) {
      const double x = (column + 0.5 - fit->shift_x) / fit->scale_x, y = (row + 0.5 - fit->shift_y) / fit->scale_y;
      const int outside = x < 0.0 || y < 0.0 || x > picture->width || y > picture->height;
      for (channel = 0; channel < 3; channel++) {
        const double value = outside ? 0.0 : sample(picture, x, y, half_x, half_y, channel);
        *rgb++ = (uint8_t)(value + 0.5);
      }
    }
  }
}

/* A JSON string. */
static void write_text(FILE *file, const char *text)
{
  fputc('"', file);
  for (; *text != '\0'; text++) {
    const unsigned char letter = (unsigned char)*text;
    if (letter == '"' || letter == '\\') {
      fprintf(file, "\\%c", letter);
    } else if (letter < 32) {
      fprintf(file, "\\u%04x", letter);
    } else {
      fputc(letter, file);
    }
  }
  fputc('"', file);
}

static void write_json(FILE *file, const char *image, const picture_t *picture, const fit_t *fit, const pose_t *poses,
                       int count, double milliseconds)
{
  static const char *const names[POSE_KEYPOINTS_NB] = POSE_KEYPOINT_NAMES;
  int i, k;
  fprintf(file, "{\n  \"image\": ");
  write_text(file, image);
  fprintf(file, ",\n  \"width\": %d,\n  \"height\": %d,\n  \"milliseconds\": %.3f,\n  \"poses\": [", picture->width,
          picture->height, milliseconds);
  for (i = 0; i < count; i++) {
    fprintf(file, "%s\n    {\"score\": %.6f, \"keypoints\": [", i ? "," : "", (double)poses[i].score);
    for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
      const pose_point_t *point = &poses[i].points[k];
      fprintf(file, "%s\n      {\"name\": ", k ? "," : "");
      write_text(file, names[k]);
      fprintf(file, ", \"x\": %.4f, \"y\": %.4f, \"score\": %.6f}", (point->x - fit->shift_x) / fit->scale_x,
              (point->y - fit->shift_y) / fit->scale_y, (double)point->score);
    }
    fprintf(file, "\n    ]}");
  }
  fprintf(file, "%s]\n}\n", count ? "\n  " : "");
}

int main(int count, char **words)
{
  static uint8_t rgb[INPUT_HEIGHT * INPUT_WIDTH * 3];
  static pose_t poses[POSE_MAX_POSES];
  const char *out = count > 2 ? words[2] : "output.json";
  const char *problem;
  struct timespec start, end;
  picture_t picture;
  fit_t fit;
  FILE *file;
  int found;
  if (count < 2 || count > 3) {
    fprintf(stderr, "usage: %s IMAGE [output.json]\n", words[0]);
    return 2;
  }
  problem = picture_read(words[1], &picture);
  if (problem != NULL) {
    fprintf(stderr, "%s: %s\n", words[1], problem);
    return 1;
  }
  fit = fit_of(&picture);
  shrink(&picture, &fit, rgb);
  (void)clock_gettime(CLOCK_MONOTONIC, &start);
  found = pose_run(rgb, poses, POSE_MAX_POSES);
  (void)clock_gettime(CLOCK_MONOTONIC, &end);
  file = fopen(out, "w");
  if (file == NULL) {
    fprintf(stderr, "%s: it cannot be written\n", out);
    free(picture.rgb);
    return 1;
  }
  write_json(file, words[1], &picture, &fit, poses, found,
             1e3 * (double)(end.tv_sec - start.tv_sec) + 1e-6 * (double)(end.tv_nsec - start.tv_nsec));
  free(picture.rgb);
  if (fclose(file) != 0) {
    fprintf(stderr, "%s: it cannot be written\n", out);
    return 1;
  }
  printf("%s: %d pose%s, written to %s\n", words[1], found, found == 1 ? "" : "s", out);
  return 0;
}
