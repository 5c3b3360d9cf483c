// Every error text of the v3 API with the code that it has on the wire (rpctypes of etcd's client API).

extension CallError {
    // KV
    public static let emptyKey = CallError(.invalidArgument, "etcdserver: key is not provided")
    public static let keyNotFound = CallError(.invalidArgument, "etcdserver: key not found")
    public static let valueProvided = CallError(.invalidArgument, "etcdserver: value is provided")
    public static let leaseProvided = CallError(.invalidArgument, "etcdserver: lease is provided")
    public static let tooManyOperations = CallError(.invalidArgument, "etcdserver: too many operations in txn request")
    public static let duplicateKey = CallError(.invalidArgument, "etcdserver: duplicate key given in txn request")
    public static let invalidClientAPIVersion = CallError(.invalidArgument, "etcdserver: invalid client api version")
    public static let invalidSortOption = CallError(.invalidArgument, "etcdserver: invalid sort option")
    public static let compacted = CallError(.outOfRange, "etcdserver: mvcc: required revision has been compacted")
    public static let futureRevision = CallError(.outOfRange, "etcdserver: mvcc: required revision is a future revision")
    public static let noSpace = CallError(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
    public static let requestTooLarge = CallError(.invalidArgument, "etcdserver: request is too large")
    /// Sent as Unknown: etcd maps it to a client-side error that carries no status.
    public static let tooManyRequests = CallError(.unknown, "etcdserver: too many requests")

    // Lease
    public static let leaseNotFound = CallError(.notFound, "etcdserver: requested lease not found")
    public static let leaseExists = CallError(.failedPrecondition, "etcdserver: lease already exists")
    public static let leaseTTLTooLarge = CallError(.outOfRange, "etcdserver: too large lease TTL")

    // Watch
    public static let watchCanceled = CallError(.cancelled, "etcdserver: watch canceled")

    // Cluster
    public static let memberExists = CallError(.failedPrecondition, "etcdserver: member ID already exist")
    public static let peerURLExists = CallError(.failedPrecondition, "etcdserver: Peer URLs already exists")
    /// Sent as Unknown, as `tooManyRequests`.
    public static let notEnoughStartedMembers = CallError(
        .unknown, "etcdserver: re-configuration failed due to not enough started members")
    public static let memberBadURLs = CallError(.invalidArgument, "etcdserver: given member URLs are invalid")
    public static let memberNotFound = CallError(.notFound, "etcdserver: member not found")
    public static let memberNotLearner = CallError(.failedPrecondition, "etcdserver: can only promote a learner member")
    public static let learnerNotReady = CallError(
        .failedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader")
    public static let tooManyLearners = CallError(.failedPrecondition, "etcdserver: too many learner members in cluster")
    public static let clusterIDMismatch = CallError(.failedPrecondition, "etcdserver: cluster ID mismatch")
    public static let unhealthyCluster = CallError(.unavailable, "etcdserver: unhealthy cluster")

    // Availability
    public static let noLeader = CallError(.unavailable, "etcdserver: no leader")
    public static let notLeader = CallError(.failedPrecondition, "etcdserver: not leader")
    public static let leaderChanged = CallError(.unavailable, "etcdserver: leader changed")
    public static let notCapable = CallError(.failedPrecondition, "etcdserver: not capable")
    public static let stopped = CallError(.unavailable, "etcdserver: server stopped")
    public static let timeout = CallError(.unavailable, "etcdserver: request timed out")
    public static let timeoutWaitingAppliedIndex = CallError(
        .unavailable, "etcdserver: request timed out, waiting for the applied index took too long")
    public static let corrupt = CallError(.dataLoss, "etcdserver: corrupt cluster")
    public static let notSupportedForLearner = CallError(.failedPrecondition, "etcdserver: rpc not supported for learner")
    public static let badLeaderTransferee = CallError(.failedPrecondition, "etcdserver: bad leader transferee")
    public static let deadlineExceeded = CallError(.deadlineExceeded, "context deadline exceeded")
    public static let canceled = CallError(.cancelled, "context canceled")

    // Downgrade
    public static let wrongDowngradeVersionFormat = CallError(
        .invalidArgument, "etcdserver: wrong downgrade target version format")
    public static let invalidDowngradeTargetVersion = CallError(
        .invalidArgument, "etcdserver: invalid downgrade target version")
    public static let downgradeInProcess = CallError(
        .failedPrecondition, "etcdserver: cluster has a downgrade job in progress")

    // Auth
    public static let rootUserNotExist = CallError(.failedPrecondition, "etcdserver: root user does not exist")
    public static let rootRoleNotExist = CallError(.failedPrecondition, "etcdserver: root user does not have root role")
    public static let userAlreadyExists = CallError(.failedPrecondition, "etcdserver: user name already exists")
    public static let userEmpty = CallError(.invalidArgument, "etcdserver: user name is empty")
    public static let userNotFound = CallError(.failedPrecondition, "etcdserver: user name not found")
    public static let roleAlreadyExists = CallError(.failedPrecondition, "etcdserver: role name already exists")
    public static let roleNotFound = CallError(.failedPrecondition, "etcdserver: role name not found")
    public static let roleEmpty = CallError(.invalidArgument, "etcdserver: role name is empty")
    public static let authFailed = CallError(
        .invalidArgument, "etcdserver: authentication failed, invalid user ID or password")
    public static let permissionNotGiven = CallError(.invalidArgument, "etcdserver: permission not given")
    public static let permissionDenied = CallError(.permissionDenied, "etcdserver: permission denied")
    public static let roleNotGranted = CallError(.failedPrecondition, "etcdserver: role is not granted to the user")
    public static let permissionNotGranted = CallError(
        .failedPrecondition, "etcdserver: permission is not granted to the role")
    public static let authNotEnabled = CallError(.failedPrecondition, "etcdserver: authentication is not enabled")
    public static let invalidAuthToken = CallError(.unauthenticated, "etcdserver: invalid auth token")
    public static let invalidAuthManagement = CallError(.invalidArgument, "etcdserver: invalid auth management")
    public static let authOldRevision = CallError(.invalidArgument, "etcdserver: revision of auth store is old")
}
