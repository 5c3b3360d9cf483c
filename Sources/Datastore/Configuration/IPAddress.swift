// Recognizing IP addresses.

import Glibc

/// Whether `text` is an IPv4 or IPv6 address (a zone after `%` is allowed for the latter).
func isIPAddress(_ text: String) -> Bool {
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 { return true }
    var v6 = in6_addr()
    return inet_pton(AF_INET6, text, &v6) == 1
}
