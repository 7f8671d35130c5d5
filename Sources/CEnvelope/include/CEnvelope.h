// The C structures of proto/, as protoc-c generates them ("make proto").
#include "stagewire/v1/envelope.pb-c.h"
#include "stagewire/v1/record.pb-c.h"
