/* What the four peers have in common: they answer each command line on stdin with one JSON
 * object on one line of stdout, flushed, and tell what happens to them the same way. */
#ifndef LINES_H
#define LINES_H

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void (*LineCallback)(const char *line);

static inline long long monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Resident memory in KiB, for the benchmarks. */
static inline long resident_kib(void)
{
	long size = 0, resident = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (statm) {
		if (fscanf(statm, "%ld %ld", &size, &resident) != 2)
			resident = 0;
		fclose(statm);
	}
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A JSON string, quotes included. Bytes above 0x7f pass: the text is UTF-8 already. */
static inline void print_json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)(text ? text : ""); *c; c++) {
		if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if (*c < 0x20)
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

static inline void end_line(void)
{
	puts("}");
	fflush(stdout);
}

static inline int fail(const char *what, const char *why)
{
	printf("{\"error\":");
	print_json_string(what);
	printf(",\"why\":");
	print_json_string(why);
	end_line();
	return 1;
}

/* The text behind "command ", or NULL when the line is another command. */
static inline const char *argument_of(const char *line, const char *command)
{
	size_t length = strlen(command);

	if (strncmp(line, command, length) != 0)
		return NULL;
	if (line[length] == '\0')
		return line + length;
	return line[length] == ' ' ? line + length + 1 : NULL;
}

#endif
