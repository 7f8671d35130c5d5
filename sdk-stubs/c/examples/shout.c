/* Shout is the smallest useful transform: every record goes on with its payload in capitals. */
#include <ctype.h>
#include <stagewire.h>

static void shout(sw_record *record, sw_emitter *out, void *user) {
    (void)user;
    sw_bytes payload = sw_payload(record);
    char *upper = sw_alloc(out, payload.size);
    for (size_t i = 0; i < payload.size; i++) upper[i] = (char)toupper((unsigned char)payload.data[i]);
    sw_emit(out, &(sw_output){.base = record, .payload = {upper, payload.size}});
}

int main(int argc, char **argv) { return sw_run(argc, argv, &(sw_stage){.transform = shout}); }
