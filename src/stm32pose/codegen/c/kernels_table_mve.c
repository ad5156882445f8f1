#include "kernels_table_mve.h"

#include "kernels_mve.h"

void table_int8_int8_mve(const int8_t *input, int8_t *output, const table_params *p)
{
  for (int32_t left = p->elements; left > 0; left -= 16) {
    const mve_pred16_t there = vctp8q((uint32_t)left);
    const uint8x16_t places = vldrbq_z_u8((const uint8_t *)input, there);
    vstrbq_p_u8((uint8_t *)output, vldrbq_gather_offset_z_u8(p->table, places, there), there);
    input += 16;
    output += 16;
  }
}
