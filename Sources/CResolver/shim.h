// The system's resolver, for SRV records.
#include <sys/types.h>
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <netdb.h>

static inline int martlet_res_query(const char *name, int kind, int type, unsigned char *answer, int length) {
    return res_query(name, kind, type, answer, length);
}

// h_errno is a macro: HOST_NOT_FOUND 1, TRY_AGAIN 2, NO_RECOVERY 3, NO_DATA 4.
static inline int martlet_resolver_error(void) { return h_errno; }
