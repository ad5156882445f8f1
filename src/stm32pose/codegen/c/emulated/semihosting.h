/* Semihosting: files and the exit status of the machine that emulates this processor (Arm's calls by BKPT 0xAB). */

#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

#define SEMIHOSTING_READ 1  /* "rb" */
#define SEMIHOSTING_WRITE 5 /* "wb" */

/* Opens a file of the host by its name; negative: it cannot be opened. */
int32_t semihosting_open(const char *name, uint32_t mode);

/* Reads or writes all bytes; 0, or the number of bytes that were not. */
int32_t semihosting_read(int32_t file, void *bytes, uint32_t count);
int32_t semihosting_write(int32_t file, const void *bytes, uint32_t count);
void semihosting_close(int32_t file);

/* Writes text to the emulator's standard error. */
void semihosting_print(const char *text);
void semihosting_print_hex(uint32_t value);

/* Ends the emulator with an exit status. */
void semihosting_exit(uint32_t status);

/* Instructions executed so far, low and high word, by an emulator that counts them itself (not QEMU). */
void semihosting_instructions(uint32_t parts[2]);

#endif
