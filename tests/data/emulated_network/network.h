/* A network small enough to check by hand, with the interface of the generated ones. */

#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_ARENA_BYTES 16
#define NETWORK_LAYERS 2
#define NETWORK_INPUTS 1
#define NETWORK_OUTPUTS 1
#define NETWORK_INPUT_0_BYTES 8
#define NETWORK_OUTPUT_0_BYTES 4

void network_init(void);
void *network_input(int32_t index);
const void *network_output(int32_t index);
void network_run(void);
void network_run_layer(int32_t layer);
const char *network_layer_name(int32_t layer);

#endif
