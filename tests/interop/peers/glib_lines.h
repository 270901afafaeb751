/* Command lines from stdin inside a GLib main loop. The end of stdin ends the program, so that
 * no peer outlives the test that started it. */
#ifndef GLIB_LINES_H
#define GLIB_LINES_H

#include <glib-unix.h>
#include <glib.h>

#include "lines.h"

typedef struct {
	GMainLoop *loop;
	GString *unread;
	LineCallback on_line;
} LineReader;

static gboolean read_lines(gint descriptor, GIOCondition condition, gpointer data)
{
	LineReader *reader = data;
	char chunk[4096];
	ssize_t count = read(descriptor, chunk, sizeof chunk);
	char *end;

	(void)condition;
	if (count <= 0) {
		g_main_loop_quit(reader->loop);
		return G_SOURCE_REMOVE;
	}
	g_string_append_len(reader->unread, chunk, count);
	while ((end = strchr(reader->unread->str, '\n'))) {
		char *line = g_strndup(reader->unread->str, end - reader->unread->str);

		g_string_erase(reader->unread, 0, end - reader->unread->str + 1);
		if (strcmp(line, "quit") == 0)
			g_main_loop_quit(reader->loop);
		else
			reader->on_line(line);
		g_free(line);
	}
	return G_SOURCE_CONTINUE;
}

/* Runs until "quit" or the end of stdin. */
static void run_until_quit(LineCallback on_line)
{
	LineReader reader = { g_main_loop_new(NULL, FALSE), g_string_new(NULL), on_line };

	g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, read_lines, &reader);
	g_main_loop_run(reader.loop);
	g_string_free(reader.unread, TRUE);
	g_main_loop_unref(reader.loop);
}

#endif
