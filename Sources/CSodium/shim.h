// NaCl's secretbox, from libsodium.
#ifndef MARTLET_CSODIUM_H
#define MARTLET_CSODIUM_H
#include <stddef.h>
#include <sodium/core.h>
#include <sodium/crypto_secretbox.h>
#endif
