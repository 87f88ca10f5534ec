/* The other end of an echo server: many connections, each with one message on its way at any time.

       echo_load ADDRESS PORT CONNECTIONS SIZE

   It connects, then answers each line of standard input, a number of messages for every connection, with the
   nanoseconds that all of them took. A message is sent as soon as the answer to the one before is complete.

   It asks for events without ever sleeping: waking up a sleeper costs the one who sends, and here that is the server
   under measurement, whose clients are on other machines in real life. Between two lines it does sleep. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, LARGEST = 65536 };

struct connection {
    int descriptor;
    int received;                /* bytes of the answer that is on its way */
    long left;                   /* messages that are not answered yet */
};

static char message[LARGEST], answer[LARGEST];

static void
fail(const char *what)
{
    fprintf(stderr, "echo_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
send_message(const struct connection *connection, int size)
{
    if (send(connection->descriptor, message, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) != size)
        fail("a message could not be sent");
}

/* Takes what has come. Returns how many connections have nothing left to do now: 1 or 0. */
static int
receive(struct connection *connection, int size)
{
    ssize_t got = recv(connection->descriptor, answer, (size_t)(size - connection->received), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got == 0)
        errno = ECONNRESET;
    if (got <= 0)
        fail("an answer could not be received");
    connection->received += (int)got;
    if (connection->received < size)
        return 0;
    connection->received = 0;
    if (--connection->left == 0)
        return 1;
    send_message(connection, size);
    return 0;
}

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t
exchange(int epoll, struct connection *connections, int count, int size, long messages)
{
    struct epoll_event events[EVENTS];
    int64_t start = now();
    for (int i = 0; i < count; i++) {
        connections[i].left = messages;
        send_message(&connections[i], size);
    }
    for (int busy = count; busy > 0;) {
        int ready = epoll_wait(epoll, events, EVENTS, 0);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++)
            busy -= receive(events[i].data.ptr, size);
    }
    return now() - start;
}

static void
open_connection(int epoll, struct connection *connection, const struct sockaddr_in *address)
{
    int yes = 1;
    connection->descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->descriptor < 0)
        fail("socket");
    if (connect(connection->descriptor, (const struct sockaddr *)address, sizeof *address) < 0)
        fail("connect");
    setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->descriptor, &event) < 0)
        fail("epoll_ctl");
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: echo_load ADDRESS PORT CONNECTIONS SIZE\n", stderr);
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    int count = atoi(argv[3]), size = atoi(argv[4]);
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || count < 1 || size < 1 || size > LARGEST) {
        fputs("echo_load: an argument is out of range\n", stderr);
        return 2;
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (epoll < 0 || connections == NULL)
        fail("start");
    memset(message, 'x', sizeof message);
    for (int i = 0; i < count; i++)
        open_connection(epoll, &connections[i], &address);
    puts("connected");
    fflush(stdout);
    long messages;
    while (scanf("%ld", &messages) == 1 && messages > 0) {
        printf("%lld\n", (long long)exchange(epoll, connections, count, size, messages));
        fflush(stdout);
    }
    return 0;
}
