/* The network behind four calls, so that the application knows nothing of who generated it. Written by stm32pose.
 * pose_network_stai.c is the network that ST Edge AI generates; pose_network_stub.c serves on a computer. */
#ifndef POSE_NETWORK_H
#define POSE_NETWORK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prepare the network once; 0, or an error of the library. */
int pose_network_init(void);

/* Where the input goes: INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS values of QUANT_INPUT_TYPE. */
void *pose_network_input(void);

/* Run it on what lies there; 0, or an error of the library. */
int pose_network_run(void);

/* Output `index` of POSE_OUTPUTS_NB, valid until the next run. */
const void *pose_network_output(int index);

#ifdef __cplusplus
}
#endif

#endif /* POSE_NETWORK_H */
