// The system's resolver, for SRV records.
#include <sys/types.h>
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>

static inline int martlet_res_query(const char *name, int kind, int type, unsigned char *answer, int length) {
    return res_query(name, kind, type, answer, length);
}
