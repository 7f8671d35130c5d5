// What the journal needs and Swift cannot name: CRC32C by the processor's own instruction, SSE 4.2 on x86-64, the CRC extension on
// arm64.
#ifndef STAGEWIRE_JOURNAL_H
#define STAGEWIRE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Whether this processor has it. Asks the system each time.
bool sw_crc32c_supported(void);

// The register after `count` more bytes, without initial or final inversion. Only where `sw_crc32c_supported`; elsewhere it
// ends the process.
uint32_t sw_crc32c_update(uint32_t state, const void *bytes, size_t count);

#endif
