#pragma once
#include "session.h"

void produce(struct session *s, const struct options *o);
void work(struct session *s, const struct options *o);
void drain(struct session *s, const struct options *o);
