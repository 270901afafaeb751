/* Command lines from stdin in a program whose work is done by other threads. The end of stdin
 * ends the program, so that no peer outlives the test that started it. */
#ifndef BLOCKING_LINES_H
#define BLOCKING_LINES_H

#include "lines.h"

/* Runs until "quit" or the end of stdin. */
static void run_until_quit(LineCallback on_line)
{
	char line[4096];

	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "quit") == 0)
			return;
		on_line(line);
	}
}

#endif
