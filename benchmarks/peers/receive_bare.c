/* The least that receiving can cost in C: epoll, the head line by line, expat on the body, a
 * prebuilt 200. No rule is kept, no value is kept in order.
 *
 *   receive_bare IP
 *
 * On start: {"ready": version, "port": PORT}. Commands: count ({"events": …, "disorder": 0})
 * and quit; the end of stdin ends it.
 */
#include <arpa/inet.h>
#include <expat.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "received.h"

#define DESCRIPTORS 65536
#define MESSAGE 16384

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

typedef struct {
	size_t used;
	char bytes[MESSAGE];
} Connection;

static Connection *connections[DESCRIPTORS];
static XML_Parser parser;
static char text[MESSAGE];
static size_t text_length;

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	(void)data, (void)name, (void)attributes;
	text_length = 0;
}

static void on_text(void *data, const XML_Char *part, int length)
{
	(void)data;
	memcpy(text + text_length, part, length);
	text_length += length;
}

static void parse_body(const char *body, size_t length)
{
	XML_ParserReset(parser, NULL);
	XML_SetStartElementHandler(parser, on_start);
	XML_SetCharacterDataHandler(parser, on_text);
	if (XML_Parse(parser, body, length, 1) == XML_STATUS_OK)
		events++;
}

/* The length of the message at the start of the bytes, and where its body begins; 0: incomplete. */
static size_t message_length(const char *bytes, size_t used, size_t *body)
{
	const char *end = memmem(bytes, used, "\r\n\r\n", 4), *line = bytes;
	size_t length = 0;

	if (!end)
		return 0;
	while (line < end) {
		const char *next = memmem(line, end + 2 - line, "\r\n", 2);

		if (next - line > 15 && strncasecmp(line, "content-length:", 15) == 0)
			length = strtoul(line + 15, NULL, 10);
		line = next + 2;
	}
	*body = end + 4 - bytes;
	return *body + length <= used ? *body + length : 0;
}

static int receive(int descriptor)
{
	Connection *connection = connections[descriptor];
	ssize_t count = read(descriptor, connection->bytes + connection->used, MESSAGE - connection->used);
	size_t length, body;

	if (count <= 0)
		return 0;
	connection->used += count;
	while ((length = message_length(connection->bytes, connection->used, &body))) {
		parse_body(connection->bytes + body, length - body);
		if (write(descriptor, ANSWER, sizeof ANSWER - 1) < 0)
			return 0;
		connection->used -= length;
		memmove(connection->bytes, connection->bytes + length, connection->used);
	}
	return connection->used < MESSAGE;
}

static void accept_all(int listener, int poll)
{
	int descriptor, on = 1;

	while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct epoll_event wanted = { .events = EPOLLIN, .data.fd = descriptor };

		if (descriptor >= DESCRIPTORS) {
			close(descriptor);
			continue;
		}
		setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (!connections[descriptor])
			connections[descriptor] = malloc(sizeof(Connection));
		connections[descriptor]->used = 0;
		epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &wanted);
	}
}

static int read_commands(void)
{
	char line[256];
	ssize_t count = read(STDIN_FILENO, line, sizeof line - 1);

	if (count <= 0)
		return 0;
	line[count] = '\0';
	if (strncmp(line, "count", 5) == 0)
		print_count();
	return strncmp(line, "quit", 4) != 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
	struct epoll_event ready[64], wanted = { .events = EPOLLIN };

	if (argc != 2 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		return fail("usage", "receive_bare IP");
	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
		return fail("listen", "the address cannot be used");
	getsockname(listener, (struct sockaddr *)&address, &size);
	parser = XML_ParserCreate(NULL);
	wanted.data.fd = listener;
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
	wanted.data.fd = STDIN_FILENO;
	epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &wanted);
	printf("{\"ready\":\"" VERSION "\",\"port\":%d", ntohs(address.sin_port));
	end_line();
	for (;;) {
		int count = epoll_wait(poll, ready, 64, -1);

		for (int i = 0; i < count; i++) {
			int descriptor = ready[i].data.fd;

			if (descriptor == listener)
				accept_all(listener, poll);
			else if (descriptor != STDIN_FILENO && !receive(descriptor))
				close(descriptor);
			else if (descriptor == STDIN_FILENO && !read_commands())
				return 0;
		}
	}
}
