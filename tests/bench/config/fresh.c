// wrk keeps a TLS object for each connection and clears it to connect anew, which keeps the session:
// loaded before it, this makes every handshake a full one.
#define _GNU_SOURCE
#include <dlfcn.h>

int SSL_clear(void *ssl)
{
    int (*clear)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "SSL_clear");
    int (*set_session)(void *, void *) = (int (*)(void *, void *))dlsym(RTLD_NEXT, "SSL_set_session");
    int done = clear(ssl);
    set_session(ssl, 0);
    return done;
}
