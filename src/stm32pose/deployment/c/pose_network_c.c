/* The network as C that stm32pose generated, behind the four calls of pose_network.h. Written by stm32pose. */
#include "pose_network.h"

#include "network.h"

int pose_network_init(void)
{
  network_init();
  return 0;
}

void *pose_network_input(void)
{
  return network_input(0);
}

int pose_network_run(void)
{
  network_run();
  return 0;
}

const void *pose_network_output(int index)
{
  return network_output(index);
}
