/* generator: a device that sends events, or a sender of events to known URLs.
 *
 *     generator ADDRESS DESCRIPTION SCPD BODY
 *
 * Serves DESCRIPTION at /description.xml and SCPD at each other path, answers SUBSCRIBE, and
 * sends to the CALLBACK of each new subscription over a connection of its own. BODY is the
 * template of the event bodies: @VALUE@ becomes 10.000 + SEQ % 64 / 8, @NUMBER@ becomes SEQ % 64.
 * Prints {"port": PORT}, then one line for each command:
 *
 *     connect HOST PORT PREFIX FIRST COUNT
 *         connections without SUBSCRIBE, to the paths PREFIX and a number of 22 digits from FIRST
 *         on; waits until each initial event is answered
 *     ready COUNT MILLISECONDS
 *         waits for so many subscriptions, sends their initial events, and waits for the answers.
 *         The initial events follow the last answer to SUBSCRIBE after 50 ms, because GUPnP drops
 *         one that comes within 5 ms.
 *     run SECONDS BURST keep|close
 *         sends: BURST 0 is the next event of each subscription as soon as its last is answered;
 *         else BURST events of each subscription, then a wait for all answers, and again. close
 *         takes a new connection for each event, and asks the peer to close.
 *     send COUNT BURST keep|close
 *         as run with a BURST, COUNT events of each subscription
 *
 * One message of a subscription is under way at a time.
 */
#include "messages.h"

enum { BODIES = 64, MOST_DOCUMENT = 65536, MOST_LOST = 1000 };

struct subscription {
    int fd; /* -1: none */
    uint32_t address;
    int port;
    char *head; /* of a NOTIFY, up to the value of SEQ */
    size_t head_size;
    uint64_t seq;
    uint64_t left; /* events of the burst that are still to be sent */
    int answered;  /* the initial event */
    int under_way;
    int ends; /* its connection is to be closed by the peer, the answer is there */
    struct rest rest;
};

struct connection {
    enum { UNUSED, COMMANDS, LISTENER, CLIENT, SENDER } kind;
    size_t subscription;
    struct rest rest;
};

static char *documents[2];
static size_t document_sizes[2];
static char *tails[2][BODIES]; /* for kept connections and for others: what follows SEQ */
static size_t tail_sizes[2][BODIES];
static uint32_t own_address;
static struct subscription *subscriptions;
static size_t subscribed, subscriptions_size;
static size_t ready;
static struct connection *connections;

/* the pending command */
static size_t awaited;
static int64_t awaited_until, last_subscribed;
static struct {
    int active, closing;
    int64_t began, until;
    uint64_t burst, rounds_left;
    size_t outstanding;
    uint64_t sent, bad, lost, opened;
    double cpu;
} run;
static size_t size_sent;

/* --- documents --- */

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail("%s: %s", path, strerror(errno));
    char *text = allocate(MOST_DOCUMENT, 1);
    *size = fread(text, 1, MOST_DOCUMENT - 1, file);
    fclose(file);
    return text;
}

static char *response(const char *path, size_t *size)
{
    size_t body_size;
    char *body = read_file(path, &body_size);
    char *text = allocate(body_size + 256, 1);
    int head = sprintf(text,
                       "HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/xml; charset=\"utf-8\"\r\n"
                       "CONTENT-LENGTH: %zu\r\n\r\n",
                       body_size);
    memcpy(text + head, body, body_size);
    *size = (size_t)head + body_size;
    free(body);
    return text;
}

static void make_tails(const char *path)
{
    size_t size;
    char *template = read_file(path, &size);
    while (size && isspace((unsigned char)template[size - 1]))
        template[--size] = 0;
    for (int number = 0; number < BODIES; number++) {
        char body[MOST_DOCUMENT], value[16], digits[16];
        size_t used = 0;
        sprintf(value, "%.3f", 10 + number / 8.0);
        sprintf(digits, "%d", number);
        for (const char *at = template; *at;) {
            const char *text = NULL;
            if (!strncmp(at, "@VALUE@", 7))
                text = value;
            else if (!strncmp(at, "@NUMBER@", 8))
                text = digits;
            if (used + 32 > sizeof body)
                fail("%s is too long", path);
            if (text) {
                used += (size_t)sprintf(body + used, "%s", text);
                at += text == value ? 7 : 8;
            } else {
                body[used++] = *at++;
            }
        }
        for (int closing = 0; closing < 2; closing++) {
            char *tail = tails[closing][number] = allocate(used + 128, 1);
            int head = sprintf(tail, "\r\n%sCONTENT-LENGTH: %zu\r\n\r\n",
                               closing ? "CONNECTION: close\r\n" : "", used);
            memcpy(tail + head, body, used);
            tail_sizes[closing][number] = (size_t)head + used;
        }
    }
    free(template);
}

/* --- events --- */

static void open_sender(struct subscription *subscription)
{
    int fd = connecting_socket(0, subscription->address, subscription->port);
    subscription->fd = fd;
    subscription->ends = 0;
    connections[fd] = (struct connection){
        .kind = SENDER,
        .subscription = (size_t)(subscription - subscriptions),
    };
    run.opened++;
    watch(fd, EPOLLOUT); /* the event leaves when the connection is there */
}

static void close_sender(struct subscription *subscription)
{
    if (subscription->fd < 0)
        return;
    drop_rest(&connections[subscription->fd].rest);
    connections[subscription->fd].kind = UNUSED;
    close(subscription->fd);
    subscription->fd = -1;
}

static void write_event(const struct subscription *subscription)
{
    char text[MOST_DOCUMENT];
    int closing = run.active && run.closing;
    size_t number = subscription->seq % BODIES;
    memcpy(text, subscription->head, subscription->head_size);
    size_t size = subscription->head_size;
    size += (size_t)sprintf(text + size, "%lu", subscription->seq);
    memcpy(text + size, tails[closing][number], tail_sizes[closing][number]);
    size += tail_sizes[closing][number];
    size_sent = size;
    write_all(subscription->fd, text, size);
}

static void send_event(struct subscription *subscription)
{
    subscription->under_way = 1;
    if (subscription->fd < 0)
        open_sender(subscription);
    else
        write_event(subscription);
}

/* Whether the run ends, once all answers are there. */
static int over(void)
{
    return run.rounds_left ? --run.rounds_left == 0 : now_ns() >= run.until;
}

static void send_burst(void)
{
    run.outstanding = subscribed;
    for (size_t number = 0; number < subscribed; number++) {
        subscriptions[number].left = run.burst ? run.burst : 1;
        send_event(&subscriptions[number]);
    }
}

static void end_run(void)
{
    run.active = 0;
    printf("{\"sent\": %lu, \"bad\": %lu, \"lost\": %lu, \"opened\": %lu, \"began\": %.9f, "
           "\"seconds\": %.6f, \"cpu\": %.6f, \"size\": %zu}\n",
           run.sent, run.bad, run.lost, run.opened, (double)run.began / 1e9,
           (double)(now_ns() - run.began) / 1e9, cpu_seconds() - run.cpu, size_sent);
}

static void go_on(struct subscription *subscription)
{
    if (!run.active) {
        if (!subscription->answered)
            ready++;
        subscription->answered = 1;
        return;
    }
    run.sent++;
    if (run.burst ? --subscription->left > 0 : now_ns() < run.until) {
        send_event(subscription);
        return;
    }
    if (--run.outstanding)
        return;
    if (!run.burst || over())
        end_run();
    else
        send_burst();
}

static void take_answer(struct subscription *subscription, const struct message *message)
{
    size_t size;
    if (!has_status_200(message))
        run.bad++;
    subscription->seq++;
    subscription->under_way = 0;
    const char *manner = find_header(message, "CONNECTION", &size);
    if (manner && size == 5 && !strncasecmp(manner, "close", 5)) {
        subscription->ends = 1; /* at the end of the stream it goes on */
        return;
    }
    if (run.active && run.closing)
        close_sender(subscription);
    go_on(subscription);
}

static void serve_sender(int fd, uint32_t events)
{
    char bytes[8192];
    struct connection *connection = &connections[fd];
    struct subscription *subscription = &subscriptions[connection->subscription];
    struct message message;
    if (events & EPOLLOUT && !(events & (EPOLLERR | EPOLLIN))) {
        watch(fd, EPOLLIN);
        write_event(subscription);
        return;
    }
    ssize_t size = read(fd, bytes, sizeof bytes);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        close_sender(subscription);
        if (subscription->ends) {
            go_on(subscription);
            return;
        }
        if (run.lost++ == MOST_LOST)
            fail("connections to %s:%d end without an answer", address_text(subscription->address),
                 subscription->port);
        if (subscription->under_way) /* the same event again */
            open_sender(subscription);
        return;
    }
    const char *data = bytes;
    size_t used = (size_t)size;
    if (connection->rest.used) {
        keep_rest(&connection->rest, bytes, used);
        data = connection->rest.data;
        used = connection->rest.used;
    }
    if (!find_message(data, used, &message)) {
        if (data == bytes)
            keep_rest(&connection->rest, bytes, used);
        return;
    }
    connection->rest.used = 0;
    take_answer(subscription, &message);
}

/* --- subscriptions --- */

static struct subscription *add_subscription(uint32_t address, int port, const char *path,
                                             const char *sid)
{
    if (subscribed == subscriptions_size) {
        subscriptions_size = subscriptions_size ? 2 * subscriptions_size : 1024;
        subscriptions = realloc(subscriptions, subscriptions_size * sizeof *subscriptions);
        if (!subscriptions)
            fail("no memory");
    }
    struct subscription *subscription = &subscriptions[subscribed++];
    *subscription = (struct subscription){.fd = -1, .address = address, .port = port};
    subscription->head = allocate(1024 + strlen(path) + strlen(sid), 1);
    subscription->head_size = (size_t)sprintf(
        subscription->head,
        "NOTIFY %s HTTP/1.1\r\nHOST: %s:%d\r\nCONTENT-TYPE: text/xml; charset=\"utf-8\"\r\n"
        "NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: %s\r\nSEQ: ",
        path, address_text(address), port, sid);
    return subscription;
}

static void subscribe(int fd, const struct message *message)
{
    char text[512], host[64], path[512] = "/", sid[64];
    int port = 80;
    size_t size;
    const char *callback = find_header(message, "CALLBACK", &size);
    if (!callback) { /* a renewal, or UNSUBSCRIBE */
        const char *known = find_header(message, "SID", &size);
        int length = snprintf(text, sizeof text,
                              "HTTP/1.1 200 OK\r\nSID: %.*s\r\nTIMEOUT: Second-1800\r\n"
                              "CONTENT-LENGTH: 0\r\n\r\n",
                              known ? (int)size : 0, known ? known : "");
        write_all(fd, text, (size_t)length);
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)size, callback);
    if (sscanf(text, "<http://%63[0-9.]:%d%511[^>]", host, &port, path) < 2)
        fail("a CALLBACK that is not read: %s", text);
    sprintf(sid, "uuid:00000000-0000-0000-0000-%012zu", subscribed + 1);
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 200 OK\r\nSID: %s\r\nTIMEOUT: Second-1800\r\n"
                          "CONTENT-LENGTH: 0\r\n\r\n",
                          sid);
    write_all(fd, text, (size_t)length);
    add_subscription(parse_address(host), port, path, sid);
    last_subscribed = now_ns();
}

static void take_request(int fd, const struct message *message)
{
    if (!memcmp(message->head, "GET ", 4)) {
        int which = memcmp(message->head + 4, "/description.xml ", 17) != 0;
        write_all(fd, documents[which], document_sizes[which]);
    } else {
        subscribe(fd, message);
    }
}

static void read_client(int fd)
{
    char bytes[8192];
    struct connection *connection = &connections[fd];
    struct message message;
    ssize_t size = read(fd, bytes, sizeof bytes);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        drop_rest(&connection->rest);
        connection->kind = UNUSED;
        close(fd);
        return;
    }
    keep_rest(&connection->rest, bytes, (size_t)size);
    while (find_message(connection->rest.data, connection->rest.used, &message)) {
        take_request(fd, &message);
        connection->rest.used -= message.size;
        memmove(connection->rest.data, connection->rest.data + message.size, connection->rest.used);
    }
}

static void accept_clients(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        connections[fd] = (struct connection){.kind = CLIENT};
        watch(fd, EPOLLIN);
    }
}

/* --- commands --- */

static void begin_run(double seconds, uint64_t rounds, uint64_t burst, const char *manner)
{
    if (!subscribed)
        fail("nobody has subscribed");
    memset(&run, 0, sizeof run);
    run.closing = !strcmp(manner, "close");
    run.began = now_ns();
    run.until = run.began + (int64_t)(seconds * 1e9);
    run.rounds_left = rounds;
    run.burst = burst;
    run.cpu = cpu_seconds();
    run.active = 1;
    send_burst();
}

static void command(char *line)
{
    char host[64], prefix[256], manner[16], path[320], sid[64];
    int port, milliseconds;
    size_t first, number, burst;
    double seconds;
    if (sscanf(line, "connect %63s %d %255s %zu %zu", host, &port, prefix, &first, &number) == 5) {
        for (size_t each = first; each < first + number; each++) {
            snprintf(path, sizeof path, "%s%022zu", prefix, each);
            sprintf(sid, "uuid:00000000-0000-0000-0000-%012zu", each);
            send_event(add_subscription(parse_address(host), port, path, sid));
        }
        awaited = subscribed;
        awaited_until = now_ns() + (int64_t)20 * 1000000000;
    } else if (sscanf(line, "ready %zu %d", &number, &milliseconds) == 2) {
        awaited = number;
        awaited_until = now_ns() + (int64_t)milliseconds * 1000000;
    } else if (sscanf(line, "run %lf %zu %15s", &seconds, &burst, manner) == 3) {
        begin_run(seconds, 0, burst, manner);
    } else if (sscanf(line, "send %zu %zu %15s", &number, &burst, manner) == 3) {
        if (!burst || !number || number % burst)
            fail("COUNT must be a multiple of BURST");
        begin_run(0, number / burst, burst, manner);
    } else {
        fail("no command: %s", line);
    }
}

static void send_initial_events(void)
{
    for (size_t number = 0; number < subscribed; number++)
        if (!subscriptions[number].answered && !subscriptions[number].under_way)
            send_event(&subscriptions[number]);
}

static void look_at_waiting(void)
{
    if (awaited_until && subscribed >= awaited && now_ns() - last_subscribed > 50000000)
        send_initial_events();
    if (awaited_until && (ready >= awaited || now_ns() > awaited_until)) {
        awaited_until = 0;
        printf("{\"ready\": %zu}\n", ready);
    }
}

static void serve(int fd, uint32_t events)
{
    switch (connections[fd].kind) {
    case COMMANDS:
        read_commands(command);
        break;
    case LISTENER:
        accept_clients(fd);
        break;
    case CLIENT:
        read_client(fd);
        break;
    case SENDER:
        serve_sender(fd, events);
        break;
    case UNUSED: /* closed in this turn */
        break;
    }
}

int main(int argc, char **argv)
{
    enum { DESCRIPTORS = 16384 };
    int port;
    if (argc != 5)
        fail("usage: generator ADDRESS DESCRIPTION SCPD BODY");
    raise_descriptors(DESCRIPTORS);
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = allocate(DESCRIPTORS + 65536, sizeof *connections);
    own_address = parse_address(argv[1]);
    documents[0] = response(argv[2], &document_sizes[0]);
    documents[1] = response(argv[3], &document_sizes[1]);
    make_tails(argv[4]);
    int listener = listening_socket(own_address, &port);
    connections[listener].kind = LISTENER;
    watch(listener, EPOLLIN);
    connections[STDIN_FILENO].kind = COMMANDS;
    watch(STDIN_FILENO, EPOLLIN);
    printf("{\"port\": %d}\n", port);

    struct epoll_event events[WAITED_EVENTS];
    for (;;) {
        int count = epoll_wait(epoll, events, WAITED_EVENTS, awaited_until ? 20 : 500);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait: %s", strerror(errno));
        for (int number = 0; number < count; number++)
            serve(events[number].data.fd, events[number].events);
        look_at_waiting();
    }
}
