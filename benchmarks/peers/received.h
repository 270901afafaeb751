/* What the receiving programs in C count. The generator sends 64 values again and again. */
#ifndef RECEIVED_H
#define RECEIVED_H

#include "lines.h"

static long events, disorder;

/* Counts an event of a subscription. *next is the number of the value that is next; -1: any. */
static inline void count_event(double value, long *next)
{
	if (*next >= 0 && value != 10 + *next / 8.0)
		disorder++;
	*next = ((long)(8 * (value - 10)) + 1) % 64;
	events++;
}

static inline void print_count(void)
{
	printf("{\"events\":%ld,\"disorder\":%ld", events, disorder);
	end_line();
}

#endif
