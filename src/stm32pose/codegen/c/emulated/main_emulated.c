/* The emulated run: reads inputs from in.bin, runs the network, writes outputs to out.bin and the stopwatch's readings
   to counts.bin, all as benchmark/emulate/counts.py writes and reads them. The first inference runs layer by layer with a
   reading between layers, the others through network_run(). */

#include <stdint.h>

#include "network.h"
#include "semihosting.h"
#include "startup.h"
#include "stopwatch.h"

#define MAGIC 0x31504D45UL /* "EMP1" */
#define SPIN_TURNS 100000UL
#define MOST_TENSORS 64

enum { OK = 0, BAD_FILES = 2 };

static uint32_t tensor_bytes[MOST_TENSORS];

static void put(int32_t file, const void *bytes, uint32_t count)
{
  if (semihosting_write(file, bytes, count) != 0) {
    semihosting_print("error: a result cannot be written\n");
    semihosting_exit(BAD_FILES);
  }
}

static void get(int32_t file, void *bytes, uint32_t count)
{
  if (semihosting_read(file, bytes, count) != 0) {
    semihosting_print("error: in.bin is too short\n");
    semihosting_exit(BAD_FILES);
  }
}

static int32_t must_open(const char *name, uint32_t mode)
{
  const int32_t file = semihosting_open(name, mode);

  if (file < 0) {
    semihosting_print("error: cannot open ");
    semihosting_print(name);
    semihosting_print("\n");
    semihosting_exit(BAD_FILES);
  }
  return file;
}


/* Two readings with nothing between them, then one after a known number of instructions. */
static void calibrate(int32_t file)
{
  stopwatch_reading_t reading[3];

  stopwatch_read(&reading[0]);
  stopwatch_read(&reading[1]);
  stopwatch_spin(SPIN_TURNS);
  stopwatch_read(&reading[2]);
  put(file, reading, sizeof(reading));
}

static void run_by_layers(int32_t counts)
{
  stopwatch_reading_t before;
  stopwatch_reading_t after;
  int32_t layer;

  for (layer = 0; layer < NETWORK_LAYERS; layer++) {
    stopwatch_read(&before);
    network_run_layer(layer);
    stopwatch_read(&after);
    put(counts, &before, sizeof(before));
    put(counts, &after, sizeof(after));
  }
}

static void put_names(void)
{
  const int32_t names = must_open("layers.txt", SEMIHOSTING_WRITE);
  int32_t layer;

  for (layer = 0; layer < NETWORK_LAYERS; layer++) {
    const char *name = network_layer_name(layer);
    uint32_t length = 0;

    while (name[length] != '\0') {
      length++;
    }
    put(names, name, length);
    put(names, "\n", 1);
  }
  semihosting_close(names);
}

int main(void)
{
  const int32_t in = must_open("in.bin", SEMIHOSTING_READ);
  const int32_t out = must_open("out.bin", SEMIHOSTING_WRITE);
  const int32_t counts = must_open("counts.bin", SEMIHOSTING_WRITE);
  uint32_t header[4]; /* magic, inferences, inputs, outputs */
  const uint32_t beginning[2] = {MAGIC, NETWORK_LAYERS};
  uint32_t stack;
  uint32_t run;
  uint32_t i;

  get(in, header, sizeof(header));
  if ((header[0] != MAGIC) || (header[2] != NETWORK_INPUTS) || (header[3] != NETWORK_OUTPUTS) ||
      (header[2] + header[3] > MOST_TENSORS)) {
    semihosting_print("error: in.bin is of another network\n");
    return BAD_FILES;
  }
  get(in, tensor_bytes, 4U * (header[2] + header[3]));
  put(counts, beginning, sizeof(beginning));
  stopwatch_start();
  calibrate(counts);
  network_init();
  for (run = 0; run < header[1]; run++) {
    for (i = 0; i < header[2]; i++) {
      get(in, network_input((int32_t)i), tensor_bytes[i]);
    }
    if (run == 0U) {
      run_by_layers(counts);
    } else {
      network_run();
    }
    for (i = 0; i < header[3]; i++) {
      put(out, network_output((int32_t)i), tensor_bytes[header[2] + i]);
    }
  }
  stack = stack_used();
  put(counts, &stack, sizeof(stack));
  put_names();
  semihosting_close(counts);
  semihosting_close(out);
  semihosting_close(in);
  return OK;
}
