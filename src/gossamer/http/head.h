/* Bytes of HTTP heads: what is looked at before the parser (llhttp, by httptools) is given a request, and how the
   variable parts of a response are written.

   The parser is fed one whole head at a time, so that a head is refused by its size before it is parsed, and the
   parser never runs into the next request. What it would let pass, or would go on waiting for, is caught here: a bare
   LF, which would leave the head without an end; a target with spaces around it; versions and protocols other than
   HTTP/1.0 and 1.1. What it refuses anyway (control characters, folded lines) is refused here as well, because this
   has to go through the bytes in any case, and a second pair of eyes is what request smuggling is caught with. */
#ifndef GOSSAMER_HTTP_HEAD_H
#define GOSSAMER_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- requests ---- */

/* How long the head at `data` is, its empty line included; 0 when that has not come yet. The first `seen` bytes
   were looked at before. */
static inline size_t
head_length(const char *data, size_t size, size_t seen)
{
    size_t from = seen > 3 ? seen - 3 : 0;
    const char *end = (const char *)memmem(data + from, size - from, "\r\n\r\n", 4);
    return end != NULL ? (size_t)(end - data) + 4 : 0;
}

/* Why the byte at `place` cannot be in a head; NULL when it can, as far as is known. */
static inline const char *
byte_flaw(const char *data, size_t size, size_t place)
{
    char byte = data[place];
    if (byte == '\r')
        return place + 1 < size && data[place + 1] != '\n' ? "a carriage return without a line feed" : NULL;
    if (byte != '\n')
        return byte == '\0' ? "a null byte in the head" : "a control character in the head";
    if (place == 0 || data[place - 1] != '\r')
        return "a line feed without a carriage return";
    if (place + 1 < size && (data[place + 1] == ' ' || data[place + 1] == '\t'))
        return "a line that begins with white space";
    return NULL;
}

/* What is wrong with the bytes of a head, or of what has come of it; NULL: nothing. */
static inline const char *
head_flaw(const char *data, size_t size, size_t seen)
{
    for (size_t place = seen > 1 ? seen - 1 : 0; place < size; place++) {
        unsigned char byte = (unsigned char)data[place];
        if ((byte >= ' ' && byte != 0x7f) || byte == '\t')
            continue;
        const char *flaw = byte_flaw(data, size, place);
        if (flaw != NULL)
            return flaw;
    }
    return NULL;
}

static const bool token_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true, ['+'] = true,
    ['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true, ['`'] = true, ['|'] = true, ['~'] = true,
};

/* RFC 9110, 5.6.2: methods and the names of headers. */
static inline bool
is_token(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!token_bytes[(unsigned char)data[i]])
            return false;
    return size > 0;
}

struct request_line {
    size_t size;                     /* without CRLF */
    size_t method_size;
    size_t target_size;              /* the target begins one byte behind the method */
    int version;                     /* 10, 11; 0: another one of HTTP; -1: not a request line of HTTP */
};

static inline int
version_of(const char *text, size_t size)
{
    if (size < 6 || memcmp(text, "HTTP/", 5) != 0)
        return -1;
    if (size == 8 && memcmp(text + 5, "1.1", 3) == 0)
        return 11;
    if (size == 8 && memcmp(text + 5, "1.0", 3) == 0)
        return 10;
    for (size_t i = 5; i < size; i++)
        if ((text[i] < '0' || text[i] > '9') && text[i] != '.')
            return -1;
    return 0;
}

/* The first line of a whole head: METHOD SP TARGET SP VERSION, with nothing else in between. */
static inline struct request_line
request_line_of(const char *head, size_t size)
{
    const char *end = (const char *)memchr(head, '\r', size);
    struct request_line line = {.size = end != NULL ? (size_t)(end - head) : size, .version = -1};
    const char *first = (const char *)memchr(head, ' ', line.size);
    if (first == NULL)
        return line;
    line.method_size = (size_t)(first - head);
    const char *second = (const char *)memchr(first + 1, ' ', line.size - line.method_size - 1);
    if (second == NULL || second == first + 1 || !is_token(head, line.method_size))
        return line;
    line.target_size = (size_t)(second - first - 1);
    line.version = version_of(second + 1, line.size - (size_t)(second + 1 - head));
    return line;
}

/* Whether a target has bytes that no URI has (RFC 3986 knows ASCII alone), but browsers and tools send for characters
   that they do not quote. */
static inline bool
has_high_bytes(const char *target, size_t size)
{
    unsigned char all = 0;
    for (size_t i = 0; i < size; i++)
        all |= (unsigned char)target[i];
    return all & 0x80;
}

/* Puts a letter in the place of each, in which the parser finds nothing wrong. */
static inline void
cover_high_bytes(char *target, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)target[i] & 0x80)
            target[i] = 'x';
}

/* Whether text may be a Host: a host and a port, nothing that could be taken for a path or a user. Not whether there
   is such a host. */
static inline bool
is_host(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!token_bytes[(unsigned char)text[i]] && strchr(":[]()=,;", text[i]) == NULL)
            return false;
    return memchr(text, '\0', size) == NULL;
}

static inline int
digit_of(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Replaces %XX by the byte it stands for, in place; other percent signs stay. Returns the new size. */
static inline size_t
unquote(char *text, size_t size)
{
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        int high = text[i] == '%' && i + 2 < size ? digit_of(text[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        if (low >= 0)
            i += 2;
        text[written++] = low >= 0 ? (char)(high << 4 | low) : text[i];
    }
    return written;
}

/* ---- responses ---- */

/* Whether text may stand in a header's value or a status line. */
static inline bool
is_one_line(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

/* The number that text is, in decimal digits and nothing else; -1: it is none, or one beyond all bodies. */
static inline int64_t
decimal_of(const char *text, size_t size)
{
    int64_t number = 0;
    if (size == 0 || size > 18)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* Whether text is a status such as "200 OK". */
static inline bool
is_status(const char *text, size_t size)
{
    for (size_t i = 0; i < 3; i++)
        if (i >= size || text[i] < '0' || text[i] > '9')
            return false;
    return size > 3 && text[3] == ' ' && is_one_line(text, size);
}

/* What the server has to know of a header that an application gives. */
enum header_kind { ORDINARY, CONTENT_LENGTH, DATE, SERVER, CONNECTION, UPGRADE, HOP_BY_HOP };

static inline enum header_kind
header_kind(const char *name, size_t size)
{
    static const struct {
        const char *name;
        enum header_kind kind;
    } special[] = {
        {"content-length", CONTENT_LENGTH}, {"date", DATE}, {"server", SERVER}, {"connection", CONNECTION},
        {"keep-alive", HOP_BY_HOP}, {"proxy-authenticate", HOP_BY_HOP}, {"proxy-authorization", HOP_BY_HOP},
        {"proxy-connection", HOP_BY_HOP}, {"te", HOP_BY_HOP}, {"trailer", HOP_BY_HOP}, {"trailers", HOP_BY_HOP},
        {"transfer-encoding", HOP_BY_HOP}, {"upgrade", UPGRADE},
    };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if ((name[0] | 0x20) == special[i].name[0] && strlen(special[i].name) == size
            && strncasecmp(name, special[i].name, size) == 0)
            return special[i].kind;
    return ORDINARY;
}

enum { DATE_SIZE = 29 };

/* RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT". `out` has room for DATE_SIZE + 1. */
static inline void
date_write(char *out, time_t when)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm utc;
    char text[64];
    gmtime_r(&when, &utc);
    snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * utc.tm_wday, utc.tm_mday,
             months + 3 * utc.tm_mon, utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    memcpy(out, text, DATE_SIZE + 1);
}

static inline char *
decimal_write(char *out, uint64_t number)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

static inline char *
hexadecimal_write(char *out, uint64_t number)
{
    char digits[16];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[number & 15];
    while ((number >>= 4) != 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

/* CLOCK_MONOTONIC as of the last tick, in nanoseconds: a few milliseconds old, and nearly free. */
static inline int64_t
coarse_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
