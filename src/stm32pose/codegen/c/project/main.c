/* The self-test on a computer, or on a board whose printf works. Written by stm32pose. */
#include <stdio.h>

#include "network.h"
#include "self_test.h"

int main(void)
{
  const int32_t wrong = self_test();
  if (wrong != 0) {
    printf("FAILED: %ld output values differ\n", (long)wrong);
    return 1;
  }
  printf("passed: %d layers, %ld MACs, %ld bytes of RAM, %ld bytes of tables\n", NETWORK_LAYERS, (long)NETWORK_MACS,
         (long)NETWORK_ARENA_BYTES, (long)NETWORK_TABLE_BYTES);
  return 0;
}
