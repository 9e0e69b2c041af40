// What a job costs before anything is judged: copies bytes between clients and an API, with TLS or
// without, or has one answer for everything. Neither limits nor timeouts, and nothing is freed for
// good: a measure, not a program to use.
//
//   floor PORT relay API_PORT
//   floor PORT tls-relay CERTIFICATE KEY API_PORT
//   floor PORT tls-answer CERTIFICATE KEY ANSWER
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MOST = 65536, EVENTS = 256 };

struct end {
    int other;
    SSL *tls;
};

static struct end ends[MOST];
static char buffer[16384];
static int loop;

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void ready(int fd, int other, SSL *tls)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ends[fd] = (struct end){other, tls};
    watch(fd, EPOLLIN | EPOLLET);
}

static void finish(int fd)
{
    int other = ends[fd].other;
    if (ends[fd].tls) {
        SSL_shutdown(ends[fd].tls);
        SSL_free(ends[fd].tls);
    }
    ends[fd] = (struct end){-1, NULL};
    close(fd);
    if (other >= 0) {
        ends[other].other = -1;
        finish(other);
    }
}

static void begin(int listener, SSL_CTX *context, const struct sockaddr_in *api)
{
    int client = accept(listener, NULL, NULL), upstream = -1;
    if (client < 0)
        return;
    if (api) {
        upstream = socket(AF_INET, SOCK_STREAM, 0);
        connect(upstream, (const void *)api, sizeof *api);
        ready(upstream, client, NULL);
    }
    SSL *tls = context ? SSL_new(context) : NULL;
    if (tls) {
        SSL_set_fd(tls, client);
        SSL_set_accept_state(tls);
    }
    ready(client, upstream, tls);
}

// What arrived, or 0 where there is nothing yet, or less at the end.
static int taken(int fd)
{
    SSL *tls = ends[fd].tls;
    if (!tls)
        return recv(fd, buffer, sizeof buffer, 0) ?: -1;
    int got = SSL_read(tls, buffer, sizeof buffer);
    return got > 0 ? got : SSL_get_error(tls, got) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void given(int fd, const char *bytes, int length)
{
    if (ends[fd].tls)
        SSL_write(ends[fd].tls, bytes, length);
    else
        send(fd, bytes, length, MSG_NOSIGNAL);
}

static SSL_CTX *context(const char *certificate, const char *key)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    SSL_CTX_use_certificate_chain_file(made, certificate);
    SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM);
    SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_options(made, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(made, 0);
    SSL_CTX_set_read_ahead(made, 1);
    return made;
}

int main(int count, char **words)
{
    if (count < 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int relays = strstr(words[2], "relay") != NULL, on = 1;
    const char *last = words[count - 1];
    SSL_CTX *secure = strncmp(words[2], "tls-", 4) ? NULL : context(words[3], words[4]);
    struct sockaddr_in here = loopback(words[1]), api = loopback(last);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 1024))
        return 1;
    loop = epoll_create1(0);
    watch(listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS];
        int many = epoll_wait(loop, events, EVENTS, -1);
        for (int at = 0; at < many; at++) {
            int fd = events[at].data.fd;
            if (fd == listener) {
                begin(listener, secure, relays ? &api : NULL);
                continue;
            }
            int got = taken(fd);
            if (got > 0 && relays && ends[fd].other >= 0)
                given(ends[fd].other, buffer, got);
            else if (got > 0)
                given(fd, last, strlen(last));
            if (got < 0)
                finish(fd);
        }
    }
}
