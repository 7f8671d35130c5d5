#include "worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Text from the broker is data (LM-5): escaped, so that it cannot drive a terminal. */
static void put_escaped(FILE *file, const char *text) {
    for (; *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) fprintf(file, "\\x%02x", c);
        else fputc(c, file);
    }
}

void swi_say(const char *format, ...) {
    char text[SWI_TEXT_LIMIT + 256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    flockfile(stderr);
    fputs("stagewire: ", stderr);
    put_escaped(stderr, text);
    fputc('\n', stderr);
    funlockfile(stderr);
}

int64_t swi_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
