/* What the receiving programs in C count. The generator sends 64 values again and again. */
#ifndef RECEIVED_H
#define RECEIVED_H

#include "lines.h"

static long events, disorder;

/* Counts an event of a subscription that has had *number of them. */
static inline void count_event(double value, long *number)
{
	if (value != 10 + *number % 64 / 8.0)
		disorder++;
	++*number;
	events++;
}

static inline void print_count(void)
{
	printf("{\"events\":%ld,\"disorder\":%ld,\"resident_kib\":%ld", events, disorder, resident_kib());
	end_line();
}

#endif
