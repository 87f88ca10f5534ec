/* What an echo over a socket pair costs the kernel: the four system calls of a round trip, and nothing else.

       four_calls SIZE

   It answers each line of standard input, a number of round trips, with the nanoseconds that they took. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { LARGEST = 65536 };

static char buffer[LARGEST];

static int64_t
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void
pass(int from, int to, size_t size)
{
    if (send(from, buffer, size, MSG_DONTWAIT) != (ssize_t)size
        || recv(to, buffer, sizeof buffer, MSG_DONTWAIT) != (ssize_t)size) {
        perror("four_calls");
        exit(1);
    }
}

int
main(int argc, char **argv)
{
    int ends[2], size = argc == 2 ? atoi(argv[1]) : 0;
    if (size < 1 || size > LARGEST) {
        fputs("usage: four_calls SIZE\n", stderr);
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
        perror("four_calls");
        return 1;
    }
    memset(buffer, 'x', sizeof buffer);
    long trips;
    while (scanf("%ld", &trips) == 1) {
        int64_t start = now();
        for (long i = 0; i < trips; i++) {
            pass(ends[0], ends[1], (size_t)size);
            pass(ends[1], ends[0], (size_t)size);
        }
        printf("%lld\n", (long long)(now() - start));
        fflush(stdout);
    }
    return 0;
}
