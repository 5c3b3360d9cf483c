// Whether a call that failed is made again: clientv3's rules, as a pure function.

import Wire

enum RetryPolicy {
    enum Decision: Equatable {
        case fail
        /// The token is not good (any longer): get another one, then again.
        case renewToken
        case again
    }

    /// - Parameter attempt: of how many attempts this was the last, counted from 1.
    static func decide(_ error: ClientError, isRepeatable: Bool, attempt: Int, canRenewToken: Bool) -> Decision {
        guard attempt < ClientLimits.attemptsMax else { return .fail }
        if canRenewToken, isTokenRefused(error) { return .renewToken }
        guard error.code == .unavailable else { return .fail }
        return isRepeatable || !error.wasSent ? .again : .fail
    }

    static func isTokenRefused(_ error: ClientError) -> Bool {
        error.matches(.invalidAuthToken) || error.matches(.authOldRevision) || error.matches(.userEmpty)
    }
}
