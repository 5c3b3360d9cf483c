// Ciphers of OpenSSL's libcrypto.
#ifndef MARTLET_COPENSSL_H
#define MARTLET_COPENSSL_H
#include <openssl/evp.h>
#endif
