/* sink: the subscribers of one publisher.
 *
 *     sink BASE SUBSCRIBERS ENDPOINTS PORTS
 *
 * The subscribers are spread over ENDPOINTS, pairs of an address and a port: PORTS ports on each
 * of the addresses from BASE on. Prints {"ports": [...]}, then one line for each command:
 *
 *     mode FIRST COUNT keep|close|dead|slow|refused [MS]
 *         how COUNT subscribers from FIRST on treat a NOTIFY: answer it; answer and close; never
 *         answer; answer after MS milliseconds, the same for all; have no listening port, which
 *         must be chosen before they subscribe
 *     answer short|dated
 *         the answer, without or with DATE and SERVER
 *     subscribe HOST PORT PATH AT_ONCE keep|close
 *         SUBSCRIBE for each subscriber, AT_ONCE requests under way, on kept connections or on one
 *         connection for each request. The initial events are not waited for.
 *     renew AT_ONCE keep|close
 *         renews each granted subscription, in the same manner
 *     begin ordered|unordered
 *         counts from zero; unordered does not look at SEQ
 *     wait COUNT MILLISECONDS
 *         waits until so many messages came to good subscribers, then as report
 *     report
 *         what came since begin
 *     last VALUE
 *         {"without": how many good subscribers do not have VALUE as their last value}
 *
 * A good subscriber is one that keeps or closes its connections. A value that is a number of
 * nanoseconds of CLOCK_MONOTONIC, 13 digits or more, gives the latency of its message.
 */
#include "messages.h"

enum mode { KEEP, CLOSE, DEAD, SLOW, REFUSED };
enum { VALUE_SIZE = 48, SID_SIZE = 80 };

struct subscriber {
    enum mode mode;
    int granted;
    int64_t seq; /* of the last message; -1 before the initial event */
    uint64_t received;
    char value[VALUE_SIZE];
    char sid[SID_SIZE];
};

/* What is known of a descriptor. */
struct connection {
    enum { UNUSED, COMMANDS, LISTENER, RECEIVER, REQUESTER } kind;
    struct rest rest;
    size_t subscriber; /* of a requester: whose request is under way */
    int answers;       /* of a requester */
    uint64_t serial;   /* of a receiver; 0 when it is closed */
};

/* All slow subscribers have the same delay, so these are in the order of their times. */
struct slow_answer {
    int fd;
    uint64_t serial;
    int64_t due;
};

static uint32_t base;
static size_t count, endpoints, ports;
static int *port_numbers;
static int refused_port;
static struct subscriber *subscribers;
static struct connection *connections;
static struct slow_answer *slow;
static size_t slow_begin, slow_end, slow_size;
static int slow_ms;

static char short_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
static char closing_answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
static char dated_answer[256];
static int dated;

/* since begin */
static struct {
    uint64_t received, good, disorder, initial, malformed, opened;
    int64_t last_ns;
    double cpu;
    size_t size;
} counts;
static int ordered = 1;
static uint64_t open_connections, serials;
static float *latencies; /* milliseconds */
static size_t latency_count, latency_size;

/* the pending command */
static uint64_t awaited;
static int64_t awaited_until;
static struct {
    int active, renewing, keep;
    char host[64], path[512];
    uint32_t address;
    int port;
    size_t next, granted, refused, under_way;
    int64_t began;
    double cpu;
    char refusal[64];
} requests;

static uint32_t subscriber_address(size_t number)
{
    return base + (uint32_t)(number % endpoints / ports);
}

static int subscriber_port(size_t number)
{
    if (subscribers[number].mode == REFUSED)
        return refused_port;
    return port_numbers[number % endpoints % ports];
}

/* --- NOTIFY --- */

static void note_latency(const char *value, int64_t now)
{
    const char *digits = strrchr(value, ':');
    digits = digits ? digits + 1 : value;
    char *end;
    if (strlen(digits) < 13)
        return;
    int64_t sent = strtoll(digits, &end, 10);
    if (*end)
        return;
    if (latency_count == latency_size) {
        latency_size = latency_size ? 2 * latency_size : 65536;
        latencies = realloc(latencies, latency_size * sizeof *latencies);
        if (!latencies)
            fail("no memory");
    }
    latencies[latency_count++] = (float)((double)(now - sent) / 1e6);
}

/* The text of the last variable of a propertyset. */
static void copy_value(struct subscriber *subscriber, const struct message *message)
{
    const char *end = message->body + message->body_size;
    const char *at = message->body, *found = NULL;
    while ((at = memmem(at, (size_t)(end - at), "property>", 9))) {
        at += 9;
        while (at < end && isspace((unsigned char)*at))
            at++;
        if (at < end && *at == '<' && at[1] != '/')
            found = at;
    }
    subscriber->value[0] = 0;
    if (!found || !(found = memchr(found, '>', (size_t)(end - found))))
        return;
    found++;
    const char *last = memchr(found, '<', (size_t)(end - found));
    size_t size = last ? (size_t)(last - found) : 0;
    if (size >= VALUE_SIZE)
        size = VALUE_SIZE - 1;
    memcpy(subscriber->value, found, size);
    subscriber->value[size] = 0;
}

/* Notes the message. Returns its subscriber, or NULL when it is no NOTIFY for one. */
static struct subscriber *take(const struct message *message)
{
    size_t size;
    const char *seq = find_header(message, "SEQ", &size);
    const char *target = memchr(message->head, ' ', message->head_size);
    const char *end = target ? memmem(target, message->head_size - (size_t)(target - message->head),
                                      " HTTP/", 6)
                             : NULL;
    if (!seq || !end || memcmp(message->head, "NOTIFY ", 7)) {
        counts.malformed++;
        return NULL;
    }
    while (end > target && isdigit((unsigned char)end[-1]))
        end--;
    size_t number = strtoul(end, NULL, 10);
    if (number >= count) {
        counts.malformed++;
        return NULL;
    }
    struct subscriber *subscriber = &subscribers[number];
    int64_t value = strtoll(seq, NULL, 10);
    int64_t now = now_ns();
    subscriber->received++;
    counts.received++;
    counts.initial += value == 0;
    counts.size = message->size;
    if (ordered && value != subscriber->seq + 1)
        counts.disorder++;
    subscriber->seq = value;
    copy_value(subscriber, message);
    if (subscriber->mode == KEEP || subscriber->mode == CLOSE) {
        counts.good++;
        counts.last_ns = now;
        if (value)
            note_latency(subscriber->value, now);
    }
    return subscriber;
}

static void close_receiver(int fd)
{
    struct connection *connection = &connections[fd];
    drop_rest(&connection->rest);
    connection->kind = UNUSED;
    connection->serial = 0;
    open_connections--;
    close(fd);
}

static void answer_slowly(int fd)
{
    if (slow_end == slow_size) {
        memmove(slow, slow + slow_begin, (slow_end - slow_begin) * sizeof *slow);
        slow_end -= slow_begin;
        slow_begin = 0;
    }
    if (slow_end == slow_size) {
        slow_size = slow_size ? 2 * slow_size : 256;
        slow = realloc(slow, slow_size * sizeof *slow);
        if (!slow)
            fail("no memory");
    }
    int64_t due = now_ns() + (int64_t)slow_ms * 1000000;
    slow[slow_end++] = (struct slow_answer){fd, connections[fd].serial, due};
}

/* Sends the slow answers that are due. Returns the milliseconds until the next one, or -1. */
static int send_slow_answers(void)
{
    for (; slow_begin < slow_end; slow_begin++) {
        const struct slow_answer *each = &slow[slow_begin];
        int64_t left = each->due - now_ns();
        if (left > 0)
            return (int)(left / 1000000) + 1;
        if (connections[each->fd].serial == each->serial)
            write_all(each->fd, short_answer, sizeof short_answer - 1);
    }
    return -1;
}

/* Returns 0 when the connection was closed. */
static int answer(int fd, const struct subscriber *subscriber)
{
    switch (subscriber->mode) {
    case CLOSE:
        write_all(fd, closing_answer, sizeof closing_answer - 1);
        close_receiver(fd);
        return 0;
    case SLOW:
        answer_slowly(fd);
        break;
    case DEAD:
        break;
    default:
        if (dated)
            write_all(fd, dated_answer, strlen(dated_answer));
        else
            write_all(fd, short_answer, sizeof short_answer - 1);
    }
    return 1;
}

static void read_receiver(int fd)
{
    static char bytes[READ_SIZE];
    struct connection *connection = &connections[fd];
    struct message message;
    ssize_t size = read(fd, bytes, sizeof bytes);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        close_receiver(fd);
        return;
    }
    const char *data = bytes;
    size_t used = (size_t)size;
    if (connection->rest.used) {
        keep_rest(&connection->rest, bytes, used);
        data = connection->rest.data;
        used = connection->rest.used;
    }
    size_t at = 0;
    while (at < used && find_message(data + at, used - at, &message)) {
        at += message.size;
        const struct subscriber *subscriber = take(&message);
        if (subscriber && !answer(fd, subscriber))
            return;
    }
    if (data == bytes) {
        if (at < used)
            keep_rest(&connection->rest, data + at, used - at);
    } else {
        memmove(connection->rest.data, data + at, used - at);
        connection->rest.used = used - at;
    }
}

static void accept_receivers(int listener)
{
    for (int number = 0; number < 64; number++) {
        int one = 1;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
            return;
        if (fd < 0)
            fail("accept: %s", strerror(errno));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd] = (struct connection){.kind = RECEIVER, .serial = ++serials};
        counts.opened++;
        open_connections++;
        watch(fd, EPOLLIN);
        read_receiver(fd); /* most often the message is there already */
    }
}

/* --- SUBSCRIBE --- */

static void send_request(int fd, size_t number)
{
    char text[1536];
    int size;
    const char *last = requests.keep ? "" : "CONNECTION: close\r\n";
    connections[fd].subscriber = number;
    if (requests.renewing)
        size = snprintf(text, sizeof text,
                        "SUBSCRIBE %s HTTP/1.1\r\nHOST: %s:%d\r\nSID: %s\r\n"
                        "TIMEOUT: Second-1800\r\n%s\r\n",
                        requests.path, requests.host, requests.port, subscribers[number].sid, last);
    else
        size = snprintf(text, sizeof text,
                        "SUBSCRIBE %s HTTP/1.1\r\nHOST: %s:%d\r\n"
                        "CALLBACK: <http://%s:%d/events/%05zu>\r\nNT: upnp:event\r\n"
                        "TIMEOUT: Second-1800\r\n%s\r\n",
                        requests.path, requests.host, requests.port,
                        address_text(subscriber_address(number)), subscriber_port(number), number,
                        last);
    write_all(fd, text, (size_t)size);
}

static void open_requester_for(size_t number)
{
    int fd = connecting_socket(subscriber_address(number), requests.address, requests.port);
    connections[fd] = (struct connection){.kind = REQUESTER, .subscriber = number};
    requests.under_way++;
    watch(fd, EPOLLOUT); /* the request leaves when the connection is there */
}

static void open_requester(void)
{
    while (requests.next < count && requests.renewing && !subscribers[requests.next].granted)
        requests.next++;
    if (requests.next < count)
        open_requester_for(requests.next++);
}

static void close_requester(int fd)
{
    drop_rest(&connections[fd].rest);
    connections[fd].kind = UNUSED;
    close(fd);
    requests.under_way--;
}

static void end_requests(void)
{
    requests.active = 0;
    printf("{\"granted\": %zu, \"refused\": %zu, \"refusal\": \"%s\", \"began\": %.9f, "
           "\"seconds\": %.6f, \"cpu\": %.6f}\n",
           requests.granted, requests.refused, requests.refusal, (double)requests.began / 1e9,
           (double)(now_ns() - requests.began) / 1e9, cpu_seconds() - requests.cpu);
}

static void note_refusal(const char *text, size_t size)
{
    requests.refused++;
    if (size >= sizeof requests.refusal)
        size = sizeof requests.refusal - 1;
    memcpy(requests.refusal, text, size);
    requests.refusal[size] = 0;
    for (char *each = requests.refusal; *each; each++)
        if (*each == '"' || *each == '\\' || iscntrl((unsigned char)*each))
            *each = ' ';
}

/* Takes the answer, and sends the next request on the same connection if that is kept. */
static void take_answer(int fd, const struct message *message)
{
    struct connection *connection = &connections[fd];
    struct subscriber *subscriber = &subscribers[connection->subscriber];
    size_t size = 0;
    connection->answers++;
    const char *sid = find_header(message, "SID", &size);
    if (has_status_200(message) && sid && size < SID_SIZE) {
        requests.granted++;
        subscriber->granted = 1;
        memcpy(subscriber->sid, sid, size);
        subscriber->sid[size] = 0;
    } else {
        const char *end = memchr(message->head, '\r', message->head_size);
        note_refusal(message->head, (size_t)(end - message->head));
    }
    while (requests.renewing && requests.next < count && !subscribers[requests.next].granted)
        requests.next++;
    if (requests.keep && requests.next < count
        && subscriber_address(requests.next) == subscriber_address(connection->subscriber)) {
        send_request(fd, requests.next++);
    } else {
        close_requester(fd);
        open_requester();
    }
}

static void serve_requester(int fd, uint32_t events)
{
    char bytes[8192];
    struct connection *connection = &connections[fd];
    struct message message;
    if (events & EPOLLOUT && !(events & EPOLLERR)) {
        watch(fd, EPOLLIN);
        send_request(fd, connection->subscriber);
        return;
    }
    ssize_t size = read(fd, bytes, sizeof bytes);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        const char *why = size ? strerror(errno) : "closed without an answer";
        size_t number = connection->subscriber;
        int again = connection->answers > 0; /* it may close a connection at any time */
        close_requester(fd);
        if (again) {
            open_requester_for(number);
        } else {
            note_refusal(why, strlen(why));
            open_requester();
        }
        return;
    }
    keep_rest(&connection->rest, bytes, (size_t)size);
    if (find_message(connection->rest.data, connection->rest.used, &message)) {
        connection->rest.used = 0;
        take_answer(fd, &message);
    }
}

/* --- commands --- */

static int compare_floats(const void *one, const void *other)
{
    float left = *(const float *)one, right = *(const float *)other;
    return (left > right) - (left < right);
}

static double latency_at(double share)
{
    size_t at = (size_t)((double)latency_count * share);
    return latencies[at < latency_count ? at : latency_count - 1];
}

static void report(void)
{
    uint64_t least = UINT64_MAX, most = 0;
    size_t good = 0;
    for (size_t number = 0; number < count; number++) {
        const struct subscriber *subscriber = &subscribers[number];
        if (subscriber->mode != KEEP && subscriber->mode != CLOSE)
            continue;
        good++;
        least = subscriber->received < least ? subscriber->received : least;
        most = subscriber->received > most ? subscriber->received : most;
    }
    printf("{\"received\": %lu, \"good\": %lu, \"disorder\": %lu, \"initial\": %lu, "
           "\"malformed\": %lu, \"opened\": %lu, \"connections\": %lu, \"least\": %lu, "
           "\"most\": %lu, \"good_subscribers\": %zu, \"last\": %.9f, \"size\": %zu, \"cpu\": %.6f",
           counts.received, counts.good, counts.disorder, counts.initial, counts.malformed,
           counts.opened, open_connections, good ? least : 0, most, good,
           (double)counts.last_ns / 1e9, counts.size, cpu_seconds() - counts.cpu);
    if (latency_count) {
        qsort(latencies, latency_count, sizeof *latencies, compare_floats);
        printf(", \"latencies\": %zu, \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f", latency_count,
               latency_at(0.5), latency_at(0.99), latency_at(1));
    }
    printf("}\n");
}

static void set_modes(size_t first, size_t number, const char *name)
{
    static const char *names[] = {"keep", "close", "dead", "slow", "refused"};
    for (int mode = KEEP; mode <= REFUSED; mode++)
        if (!strcmp(name, names[mode])) {
            for (size_t each = first; each < first + number && each < count; each++)
                subscribers[each].mode = (enum mode)mode;
            printf("{}\n");
            return;
        }
    fail("no mode is %s", name);
}

static void begin_requests(int renewing, size_t at_once, const char *manner)
{
    requests.renewing = renewing;
    requests.keep = !strcmp(manner, "keep");
    requests.next = requests.granted = requests.refused = requests.under_way = 0;
    requests.refusal[0] = 0;
    requests.active = 1;
    requests.began = now_ns();
    requests.cpu = cpu_seconds();
    for (size_t number = 0; number < at_once; number++)
        open_requester();
}

static void command(char *line)
{
    char word[512], manner[16];
    size_t first, number;
    int milliseconds = 0;
    if (sscanf(line, "mode %zu %zu %15s %d", &first, &number, manner, &milliseconds) >= 3) {
        slow_ms = milliseconds ? milliseconds : slow_ms;
        set_modes(first, number, manner);
    } else if (sscanf(line, "answer %15s", manner) == 1) {
        dated = !strcmp(manner, "dated");
        printf("{}\n");
    } else if (sscanf(line, "subscribe %63s %d %511s %zu %15s", requests.host, &requests.port,
                      requests.path, &number, manner) == 5) {
        requests.address = parse_address(requests.host);
        begin_requests(0, number, manner);
    } else if (sscanf(line, "renew %zu %15s", &number, manner) == 2) {
        begin_requests(1, number, manner);
    } else if (sscanf(line, "begin %15s", manner) == 1) {
        ordered = !strcmp(manner, "ordered");
        memset(&counts, 0, sizeof counts);
        counts.cpu = cpu_seconds();
        latency_count = 0;
        for (size_t each = 0; each < count; each++)
            subscribers[each].received = 0;
        printf("{}\n");
    } else if (sscanf(line, "wait %zu %d", &number, &milliseconds) == 2) {
        awaited = number;
        awaited_until = now_ns() + (int64_t)milliseconds * 1000000;
    } else if (!strcmp(line, "report")) {
        report();
    } else if (sscanf(line, "last %511s", word) == 1) {
        size_t without = 0;
        for (size_t each = 0; each < count; each++)
            if (subscribers[each].mode == KEEP || subscribers[each].mode == CLOSE)
                without += strcmp(subscribers[each].value, word) != 0;
        printf("{\"without\": %zu}\n", without);
    } else {
        fail("no command: %s", line);
    }
}

/* Answers the command that waits, if it has waited enough. */
static void look_at_waiting(void)
{
    if (requests.active && !requests.under_way && requests.next == count)
        end_requests();
    if (awaited_until && (counts.good >= awaited || now_ns() > awaited_until)) {
        awaited_until = 0;
        report();
    }
}

static void keep_date(void)
{
    static time_t last;
    time_t now = time(NULL);
    if (now == last)
        return;
    last = now;
    strftime(dated_answer, sizeof dated_answer,
             "HTTP/1.1 200 OK\r\nDATE: %a, %d %b %Y %H:%M:%S GMT\r\n"
             "SERVER: Linux/6.1 UPnP/1.1 subscriber/1.0\r\nContent-Length: 0\r\n\r\n",
             gmtime(&now));
}

static void serve(int fd, uint32_t events)
{
    switch (connections[fd].kind) {
    case COMMANDS:
        read_commands(command);
        break;
    case LISTENER:
        accept_receivers(fd);
        break;
    case RECEIVER:
        read_receiver(fd);
        break;
    case REQUESTER:
        serve_requester(fd, events);
        break;
    case UNUSED: /* closed in this turn */
        break;
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        fail("usage: sink BASE SUBSCRIBERS ENDPOINTS PORTS");
    base = parse_address(argv[1]);
    count = strtoul(argv[2], NULL, 10);
    endpoints = strtoul(argv[3], NULL, 10);
    ports = strtoul(argv[4], NULL, 10);
    if (!count || !endpoints || !ports || ports > endpoints)
        fail("one subscriber, one endpoint and one port at least; no more ports than endpoints");
    size_t descriptors = count + count / 4 + ports + 1024;
    raise_descriptors(descriptors);
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    subscribers = allocate(count, sizeof *subscribers);
    connections = allocate(descriptors + 1, sizeof *connections);
    port_numbers = allocate(ports, sizeof *port_numbers);
    for (size_t number = 0; number < count; number++)
        subscribers[number].seq = -1;
    for (size_t number = 0; number < ports; number++) {
        int fd = listening_socket(endpoints == ports ? base : INADDR_ANY, &port_numbers[number]);
        connections[fd].kind = LISTENER;
        watch(fd, EPOLLIN);
    }
    int unused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, so nobody gets its port */
    struct sockaddr_in own = socket_address(INADDR_ANY, 0);
    socklen_t size = sizeof own;
    if (bind(unused, (struct sockaddr *)&own, sizeof own))
        fail("bind: %s", strerror(errno));
    getsockname(unused, (struct sockaddr *)&own, &size);
    refused_port = ntohs(own.sin_port);

    connections[STDIN_FILENO].kind = COMMANDS;
    watch(STDIN_FILENO, EPOLLIN);
    printf("{\"ports\": [");
    for (size_t number = 0; number < ports; number++)
        printf("%s%d", number ? ", " : "", port_numbers[number]);
    printf("]}\n");

    struct epoll_event events[WAITED_EVENTS];
    for (;;) {
        int slow = send_slow_answers();
        int patience = awaited_until ? 20 : 500;
        int ready = epoll_wait(epoll, events, WAITED_EVENTS,
                               slow >= 0 && slow < patience ? slow : patience);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait: %s", strerror(errno));
        keep_date();
        for (int number = 0; number < ready; number++)
            serve(events[number].data.fd, events[number].events);
        look_at_waiting();
    }
}
