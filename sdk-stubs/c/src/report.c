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

/* Days since 1970 as a date of the Gregorian calendar, counted in eras of 400 years that begin on March 1st. */
static void date_of(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468; /* from 0000-03-01 to 1970-01-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * of_year + 2) / 153);
    *day = (int)(of_year - (153 * shifted + 2) / 5) + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

void swi_format_time(int64_t microseconds, char text[32]) {
    int64_t day_us = INT64_C(86400000000), days = microseconds / day_us, rest = microseconds % day_us, year;
    int month, day;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    date_of(days, &year, &month, &day);
    if (year < 1 || year > 9999) {
        snprintf(text, 32, "%lld", (long long)microseconds);
        return;
    }
    int seconds = (int)(rest / 1000000);
    snprintf(text, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year % 10000, month % 100, day % 100, seconds / 3600 % 100,
             seconds / 60 % 60, seconds % 60, (int)(rest % 1000000));
}
