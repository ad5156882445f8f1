/* One person from heat maps [POSE_MAP_HEIGHT][POSE_MAP_WIDTH][POSE_KEYPOINTS_NB]. Written by stm32pose.
 *
 * Cell (column i, row j) covers a rectangle of the input whose centre lies at ((i + 0.5) * INPUT_WIDTH /
 * POSE_MAP_WIDTH, (j + 0.5) * INPUT_HEIGHT / POSE_MAP_HEIGHT). POSE_DECODE says how the place inside the cell is found. */
#include "pose_decode.h"

#include <math.h>

#include "pose_tensor.h"

#define PLATEAU (3)      /* cells equal to the maximum belong to it up to this far from the first of them */
#define LIMIT (1.5)      /* cells; a refined place further from the brightest cell than this is not believed */
#define FLOOR (1e-3)     /* of the peak; below it the logarithm would look at noise */

typedef struct {
  const void *const *outputs;
  int keypoint;
} map_t;

static float cell_of(const map_t *map, int column, int row)
{
  return pose_value(map->outputs, 0, ((long)row * POSE_MAP_WIDTH + column) * POSE_KEYPOINTS_NB + map->keypoint);
}

#if POSE_DECODE != POSE_DECODE_ARGMAX || POSE_ACTIVATION != POSE_ACTIVATION_SIGMOID
static int is_inside(int column, int row)
{
  return column >= 0 && column < POSE_MAP_WIDTH && row >= 0 && row < POSE_MAP_HEIGHT;
}
#endif

/* The brightest cell, the first in reading order; returns its value, NaN where the map has one. */
static float find_peak(const map_t *map, int *best_column, int *best_row)
{
  float best = cell_of(map, 0, 0);
  int column, row;
  *best_column = 0;
  *best_row = 0;
  for (row = 0; row < POSE_MAP_HEIGHT; row++) {
    for (column = 0; column < POSE_MAP_WIDTH; column++) {
      const float value = cell_of(map, column, row);
      if (pose_is_nan(value)) {
        return value;
      }
      if (value > best) {
        best = value;
        *best_column = column;
        *best_row = row;
      }
    }
  }
  return best;
}

#if POSE_DECODE != POSE_DECODE_ARGMAX
/* The middle of the cells near the first maximum that are equal to it; returns how many there are. */
static int centre_of_plateau(const map_t *map, int column, int row, float best, double *x, double *y)
{
  int count = 0, across = 0, down = 0, i, j;
  for (j = -PLATEAU; j <= PLATEAU; j++) {
    for (i = -PLATEAU; i <= PLATEAU; i++) {
      if (is_inside(column + i, row + j) && cell_of(map, column + i, row + j) == best) {
        count++;
        across += i;
        down += j;
      }
    }
  }
  *x = column + (double)across / (count > 0 ? count : 1);
  *y = row + (double)down / (count > 0 ? count : 1);
  return count;
}

/* A quarter of a cell towards the higher neighbour; 0 where one of the two is outside the map. */
static double quarter_step(const map_t *map, int column, int row, int i, int j)
{
  float before, after;
  if (!is_inside(column - i, row - j) || !is_inside(column + i, row + j)) {
    return 0.0;
  }
  before = cell_of(map, column - i, row - j);
  after = cell_of(map, column + i, row + j);
  return after > before ? 0.25 : after < before ? -0.25 : 0.0;
}
#endif

#if POSE_DECODE == POSE_DECODE_DARK
#define REACH (POSE_DARK_RADIUS + 1)
#define SIDE (2 * REACH + 1)

static int clamp(int value, int low, int high)
{
  return value < low ? low : value > high ? high : value;
}

/* The 4 unknowns of a symmetric system, by elimination with row exchange. */
static void solve4(double matrix[4][5])
{
  int i, j, k;
  for (i = 0; i < 4; i++) {
    int pivot = i;
    for (j = i + 1; j < 4; j++) {
      if (fabs(matrix[j][i]) > fabs(matrix[pivot][i])) {
        pivot = j;
      }
    }
    for (k = 0; k < 5; k++) {
      const double kept = matrix[i][k];
      matrix[i][k] = matrix[pivot][k];
      matrix[pivot][k] = kept;
    }
    for (j = i + 1; j < 4; j++) {
      const double factor = matrix[j][i] / matrix[i][i];
      for (k = i; k < 5; k++) {
        matrix[j][k] -= factor * matrix[i][k];
      }
    }
  }
  for (i = 3; i >= 0; i--) {
    for (j = i + 1; j < 4; j++) {
      matrix[i][4] -= matrix[i][j] * matrix[j][4];
    }
    matrix[i][4] /= matrix[i][i];
  }
}

/* Where the border cuts the patch: the centre of the round Gaussian nearest to its cells; 0: there is none. */
static int fitted_centre(double patch[SIDE][SIDE], double *x, double *y)
{
  double normal[4][5] = {{0}};
  int i, j, row, column;
  for (row = 1; row < SIDE - 1; row++) {
    for (column = 1; column < SIDE - 1; column++) {
      const double value = patch[row][column];
      const double dx = column - REACH, dy = row - REACH;
      const double basis[4] = {1.0, dx, dy, dx * dx + dy * dy};
      const double weight = value > FLOOR ? value * value : 0.0;
      const double target = log(value > FLOOR ? value : FLOOR);
      for (i = 0; i < 4; i++) {
        for (j = 0; j < 4; j++) {
          normal[i][j] += weight * basis[i] * basis[j];
        }
        normal[i][4] += weight * target * basis[i];
      }
    }
  }
  for (i = 0; i < 4; i++) {
    normal[i][i] += 1e-9;
  }
  solve4(normal);
  if (!(normal[3][4] < -1e-3)) {
    return 0;
  }
  *x = -normal[1][4] / (2.0 * normal[3][4]);
  *y = -normal[2][4] / (2.0 * normal[3][4]);
  return 1;
}

/* One Newton step on the logarithm of the blurred patch; 0: it has no top. */
static int newton_step(double patch[SIDE][SIDE], double *x, double *y)
{
  static const double taps[SIDE - 2] = POSE_DARK_KERNEL;
  double logs[3][3], lines[3][SIDE];
  double dx, dy, dxx, dyy, dxy, determinant;
  int i, j, k;
  for (i = 0; i < 3; i++) {
    for (j = 0; j < SIDE; j++) {
      double sum = 0.0;
      for (k = 0; k < SIDE - 2; k++) {
        sum += taps[k] * patch[i + k][j];
      }
      lines[i][j] = sum;
    }
  }
  for (i = 0; i < 3; i++) {
    for (j = 0; j < 3; j++) {
      double sum = 0.0;
      for (k = 0; k < SIDE - 2; k++) {
        sum += taps[k] * lines[i][j + k];
      }
      logs[i][j] = log(sum > FLOOR ? sum : FLOOR);
    }
  }
  dx = (logs[1][2] - logs[1][0]) / 2.0;
  dy = (logs[2][1] - logs[0][1]) / 2.0;
  dxx = logs[1][2] - 2.0 * logs[1][1] + logs[1][0];
  dyy = logs[2][1] - 2.0 * logs[1][1] + logs[0][1];
  dxy = (logs[2][2] - logs[2][0] - logs[0][2] + logs[0][0]) / 4.0;
  determinant = dxx * dyy - dxy * dxy;
  if (!(dxx < 0.0 && dyy < 0.0 && determinant > 1e-9)) {
    return 0;
  }
  *x = (dxy * dy - dyy * dx) / determinant;
  *y = (dxy * dx - dxx * dy) / determinant;
  return 1;
}

/* Distance from a cell to the top of the blob around it (Zhang et al., CVPR 2020); 0: there is none within reach. */
static int dark_step(const map_t *map, int column, int row, double *x, double *y)
{
  double patch[SIDE][SIDE];
  float peak = 0.0f;
  int i, j, start_column, start_row, cut, found;
  if (POSE_MAP_WIDTH < 3 || POSE_MAP_HEIGHT < 3) {
    return 0;
  }
  start_column = clamp(column, 1, POSE_MAP_WIDTH - 2);
  start_row = clamp(row, 1, POSE_MAP_HEIGHT - 2);
  for (j = 0; j < SIDE; j++) {
    for (i = 0; i < SIDE; i++) {
      const float value = cell_of(map, clamp(start_column + i - REACH, 0, POSE_MAP_WIDTH - 1),
                                  clamp(start_row + j - REACH, 0, POSE_MAP_HEIGHT - 1));
      patch[j][i] = value;
      if ((i == 0 && j == 0) || value > peak) {
        peak = value;
      }
    }
  }
  cut = !is_inside(start_column - REACH, start_row - REACH) || !is_inside(start_column + REACH, start_row + REACH);
  for (j = 0; j < SIDE; j++) {
    for (i = 0; i < SIDE; i++) {
#if POSE_ACTIVATION == POSE_ACTIVATION_EMPTY
      double value = exp(patch[j][i] - (double)peak);
#else
      double value = patch[j][i] / (peak > 0.0f ? (double)peak : 1.0);
#endif
      value = value > 1.0 ? 1.0 : value > 0.0 ? value : 0.0;
      patch[j][i] = value;
    }
  }
  if (!cut) {
    found = newton_step(patch, x, y);
  } else {
    for (j = 0; j < SIDE; j++) {
      for (i = 0; i < SIDE; i++) {
        if (!is_inside(start_column + i - REACH, start_row + j - REACH)) {
          patch[j][i] = 0.0;
        }
      }
    }
    found = fitted_centre(patch, x, y);
  }
  if (!found) {
    return 0;
  }
  *x += start_column - column;
  *y += start_row - row;
  return fabs(*x) <= LIMIT && fabs(*y) <= LIMIT;
}
#endif

/* The score of a peak, 0..1: its value (sigmoid), or the mass around it as a share of an ideal blob's. */
static float score_of(const map_t *map, int column, int row, float best)
{
#if POSE_ACTIVATION == POSE_ACTIVATION_SIGMOID
  (void)map;
  (void)column;
  (void)row;
  return pose_finite(best) ? pose_clip(best, 0.0f, 1.0f) : 0.0f;
#else
  double near = 0.0;
  int i, j;
  if (!pose_finite(best)) {
    return 0.0f;
  }
  for (j = row - POSE_SCORE_RADIUS; j <= row + POSE_SCORE_RADIUS; j++) {
    for (i = column - POSE_SCORE_RADIUS; i <= column + POSE_SCORE_RADIUS; i++) {
      if (is_inside(i, j)) {
#if POSE_ACTIVATION == POSE_ACTIVATION_EMPTY
        near += exp((double)(cell_of(map, i, j) - best));
#else
        near += cell_of(map, i, j);
#endif
      }
    }
  }
#if POSE_ACTIVATION == POSE_ACTIVATION_EMPTY
  {
    double total = 0.0;
    for (j = 0; j < POSE_MAP_HEIGHT; j++) {
      for (i = 0; i < POSE_MAP_WIDTH; i++) {
        total += expf(cell_of(map, i, j) - best);
      }
    }
    near /= total > 1.0 ? total : 1.0;
  }
#endif
  return pose_clip((float)(near / POSE_IDEAL_MASS), 0.0f, 1.0f);
#endif
}

/* The place of a peak in cells, the centre of the first cell at 0. */
static void place_of(const map_t *map, int column, int row, float best, double *x, double *y)
{
#if POSE_DECODE == POSE_DECODE_ARGMAX
  (void)map;
  (void)best;
  *x = column;
  *y = row;
#else
  double centre_x, centre_y;
  const int tied = centre_of_plateau(map, column, row, best, &centre_x, &centre_y) > 1;
  *x = tied ? centre_x : column + quarter_step(map, column, row, 1, 0);
  *y = tied ? centre_y : row + quarter_step(map, column, row, 0, 1);
#if POSE_DECODE == POSE_DECODE_DARK
  {
    const double nearest_x = rint(centre_x), nearest_y = rint(centre_y);
    double step_x, step_y;
    if (dark_step(map, (int)nearest_x, (int)nearest_y, &step_x, &step_y)) {
      *x = nearest_x + step_x;
      *y = nearest_y + step_y;
    }
  }
#endif
#endif
}

int pose_decode(const void *const outputs[POSE_OUTPUTS_NB], pose_t *poses, int capacity)
{
  const pose_t nothing = {0};
  double total = 0.0;
  int k;
  if (capacity < 1) {
    return 0;
  }
  poses[0] = nothing;
  for (k = 0; k < POSE_KEYPOINTS_NB; k++) {
    const map_t map = {outputs, k};
    pose_point_t *point = &poses[0].points[k];
    int column, row;
    const float best = find_peak(&map, &column, &row);
    point->score = score_of(&map, column, row, best);
    point->x = INPUT_WIDTH / 2.0f;
    point->y = INPUT_HEIGHT / 2.0f;
    if (point->score > 0.0f) {
      double x, y;
      place_of(&map, column, row, best, &x, &y);
      point->x = pose_clip((float)((x + 0.5) * INPUT_WIDTH / POSE_MAP_WIDTH), 0.0f, (float)INPUT_WIDTH);
      point->y = pose_clip((float)((y + 0.5) * INPUT_HEIGHT / POSE_MAP_HEIGHT), 0.0f, (float)INPUT_HEIGHT);
    }
    total += point->score;
  }
  poses[0].score = (float)(total / POSE_KEYPOINTS_NB);
  return 1;
}
