/* Operators whose result depends on the stored value alone, for Helium. Written by stm32pose. */
#ifndef KERNELS_TABLE_MVE_H
#define KERNELS_TABLE_MVE_H

#include "kernels_table.h"

/* As table_int8_int8; other 8-bit types are the same bytes. */
void table_int8_int8_mve(const int8_t *input, int8_t *output, const table_params *p);

#endif /* KERNELS_TABLE_MVE_H */
