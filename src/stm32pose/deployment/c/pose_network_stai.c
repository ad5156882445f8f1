/* The network that ST Edge AI Core generates with the st-ai interface. Written by stm32pose. */
#include "pose_network.h"

#include <stddef.h>
#include <stdint.h>

#include "ai_model_config.h"
#include "stai.h"
/* network.h, or stai_network.h from ST Edge AI Core 3 on: the Makefile says which. */
#ifndef POSE_NETWORK_HEADER
#define POSE_NETWORK_HEADER "network.h"
#endif
#include POSE_NETWORK_HEADER

#if STAI_NETWORK_IN_NUM != 1 || STAI_NETWORK_OUT_NUM != POSE_OUTPUTS_NB
#error "The generated network has other inputs or outputs than ai_model_config.h says: generate both from one model."
#endif
#if defined(STAI_NETWORK_ACTIVATIONS_NUM) && STAI_NETWORK_ACTIVATIONS_NUM > 1
#error "The network wants several pools of activations: give them to stai_network_set_activations here."
#endif

STAI_NETWORK_CONTEXT_DECLARE(context, STAI_NETWORK_CONTEXT_SIZE)

#if defined(STAI_NETWORK_ACTIVATIONS_NUM) && STAI_NETWORK_ACTIVATIONS_NUM == 1
STAI_ALIGNED(32)
static uint8_t activations[STAI_NETWORK_ACTIVATION_1_SIZE_BYTES];
#endif

static stai_ptr inputs[STAI_NETWORK_IN_NUM];
static stai_ptr outputs[STAI_NETWORK_OUT_NUM];

int pose_network_init(void)
{
  stai_size count = 0;
  stai_return_code code = stai_runtime_init();
  if (code == STAI_SUCCESS) {
    code = stai_network_init(context);
  }
#if defined(STAI_NETWORK_ACTIVATIONS_NUM) && STAI_NETWORK_ACTIVATIONS_NUM == 1
  if (code == STAI_SUCCESS) {
    stai_ptr pools[1];
    pools[0] = (stai_ptr)activations;
    code = stai_network_set_activations(context, pools, 1);
  }
#endif
  if (code == STAI_SUCCESS) {
    code = stai_network_get_inputs(context, inputs, &count);
  }
  if (code == STAI_SUCCESS) {
    code = stai_network_get_outputs(context, outputs, &count);
  }
  return code == STAI_SUCCESS ? 0 : (int)code;
}

void *pose_network_input(void)
{
  return (void *)inputs[0];
}

int pose_network_run(void)
{
  const stai_return_code code = stai_network_run(context, STAI_MODE_SYNC);
  return code == STAI_SUCCESS ? 0 : (int)code;
}

const void *pose_network_output(int index)
{
  return index >= 0 && index < POSE_OUTPUTS_NB ? (const void *)outputs[index] : NULL;
}
