/* What the sink and the generator share: clocks, HTTP messages, sockets, commands.
 *
 * Both read commands from stdin, a line each, and answer each with one line of JSON on stdout.
 */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 65536, WAITED_EVENTS = 256, LINE_SIZE = 4096 };

/* --- clocks --- */

static inline int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Processor time of this process, the kernel's work for it included. */
static inline double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
           + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* --- ends --- */

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("{\"error\": \"");
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
    exit(1);
}

static inline void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fail("no memory");
    return memory;
}

/* --- HTTP messages --- */

struct message {
    const char *head; /* up to and with the empty line */
    size_t head_size;
    const char *body;
    size_t body_size;
    size_t size;
};

/* The value of a header, or NULL. */
static inline const char *find_header(const struct message *message, const char *name, size_t *size)
{
    size_t name_size = strlen(name);
    const char *end = message->head + message->head_size;
    const char *line = memchr(message->head, '\n', message->head_size);
    while (line && ++line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next)
            return NULL;
        if ((size_t)(next - line) > name_size && line[name_size] == ':'
            && !strncasecmp(line, name, name_size)) {
            const char *value = line + name_size + 1;
            const char *last = next;
            while (value < last && isspace((unsigned char)*value))
                value++;
            while (last > value && isspace((unsigned char)last[-1]))
                last--;
            *size = (size_t)(last - value);
            return value;
        }
        line = next;
    }
    return NULL;
}

/* Whether a whole message stands at the beginning of the data. */
static inline int find_message(const char *data, size_t used, struct message *message)
{
    const char *end = memmem(data, used, "\r\n\r\n", 4);
    size_t size;
    if (!end)
        return 0;
    message->head = data;
    message->head_size = (size_t)(end - data) + 4;
    message->body = data + message->head_size;
    const char *value = find_header(message, "CONTENT-LENGTH", &size);
    if (value) {
        message->body_size = strtoul(value, NULL, 10);
    } else if (find_header(message, "TRANSFER-ENCODING", &size)) {
        const char *last = memmem(message->body, used - message->head_size, "0\r\n\r\n", 5);
        if (!last)
            return 0;
        message->body_size = (size_t)(last - message->body) + 5;
    } else {
        message->body_size = 0;
    }
    message->size = message->head_size + message->body_size;
    return message->size <= used;
}

static inline int has_status_200(const struct message *message)
{
    return message->head_size > 12 && !memcmp(message->head + 8, " 200", 4);
}

/* Bytes of a message that is not whole yet. */
struct rest {
    char *data;
    size_t used;
    size_t size;
};

static inline void keep_rest(struct rest *rest, const char *data, size_t size)
{
    if (rest->used + size > rest->size) {
        rest->size = rest->used + size + 1024;
        rest->data = realloc(rest->data, rest->size);
        if (!rest->data)
            fail("no memory");
    }
    memcpy(rest->data + rest->used, data, size);
    rest->used += size;
}

static inline void drop_rest(struct rest *rest)
{
    free(rest->data);
    *rest = (struct rest){0};
}

/* --- sockets --- */

static inline struct sockaddr_in socket_address(uint32_t address, int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(address),
    };
}

static inline uint32_t parse_address(const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1)
        fail("%s is no IPv4 address", text);
    return ntohl(address.s_addr);
}

static inline const char *address_text(uint32_t address)
{
    static char text[INET_ADDRSTRLEN];
    struct in_addr number = {htonl(address)};
    inet_ntop(AF_INET, &number, text, sizeof text);
    return text;
}

/* A socket that listens, and its port. */
static inline int listening_socket(uint32_t address, int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in own = socket_address(address, 0);
    socklen_t size = sizeof own;
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (address == INADDR_ANY) /* nobody else shall reach it */
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) || listen(fd, 65535))
        fail("listen on %s: %s", address_text(address), strerror(errno));
    getsockname(fd, (struct sockaddr *)&own, &size);
    *port = ntohs(own.sin_port);
    return fd;
}

/* A connection that is being made, from the address source unless that is 0. */
static inline int connecting_socket(uint32_t source, uint32_t address, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source) {
        struct sockaddr_in own = socket_address(source, 0);
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, (struct sockaddr *)&own, sizeof own))
            fail("bind to %s: %s", address_text(source), strerror(errno));
    }
    struct sockaddr_in other = socket_address(address, port);
    if (connect(fd, (struct sockaddr *)&other, sizeof other) && errno != EINPROGRESS)
        fail("connect to %s:%d: %s", address_text(address), port, strerror(errno));
    return fd;
}

/* The messages are small: a socket that does not take one whole is out of order. */
static inline void write_all(int fd, const char *data, size_t size)
{
    ssize_t written = write(fd, data, size);
    if (written >= 0 && (size_t)written != size)
        fail("a socket took %zd of %zu bytes", written, size);
    /* An error is seen at the next read. */
}

static inline void raise_descriptors(size_t needed)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed)
        return;
    struct rlimit wanted = {needed, needed > limit.rlim_max ? needed : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wanted))
        fail("%zu file descriptors are needed; ulimit -n allows %lu", needed,
             (unsigned long)limit.rlim_max);
}

/* --- epoll --- */

static int epoll;

static inline void watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event))
        fail("epoll: %s", strerror(errno));
}

static inline void unwatch(int fd)
{
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* --- commands --- */

/* Reads what stdin has and calls command for each line. Ends the program with its input. */
static inline void read_commands(void (*command)(char *line))
{
    static char lines[LINE_SIZE];
    static size_t used;
    ssize_t size = read(STDIN_FILENO, lines + used, sizeof lines - used);
    if (size <= 0)
        exit(0);
    used += (size_t)size;
    char *end;
    while ((end = memchr(lines, '\n', used))) {
        *end = 0;
        char line[LINE_SIZE];
        size_t length = (size_t)(end - lines) + 1;
        memcpy(line, lines, length);
        memmove(lines, lines + length, used -= length);
        command(line);
    }
    if (used == sizeof lines)
        fail("a command is too long");
}

#endif
