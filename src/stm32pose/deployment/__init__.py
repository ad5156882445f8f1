"""From a quantized model to a board: C headers, C code, builds, flashing, Linux boards."""
