// The methods of the v3 API, and which of them may be repeated.

/// One method. The raw value is its path.
enum Method: String, Sendable, CaseIterable {
    case range = "/etcdserverpb.KV/Range"
    case rangeStream = "/etcdserverpb.KV/RangeStream"
    case put = "/etcdserverpb.KV/Put"
    case deleteRange = "/etcdserverpb.KV/DeleteRange"
    case txn = "/etcdserverpb.KV/Txn"
    case compact = "/etcdserverpb.KV/Compact"
    case watch = "/etcdserverpb.Watch/Watch"
    case leaseGrant = "/etcdserverpb.Lease/LeaseGrant"
    case leaseRevoke = "/etcdserverpb.Lease/LeaseRevoke"
    case leaseKeepAlive = "/etcdserverpb.Lease/LeaseKeepAlive"
    case leaseTimeToLive = "/etcdserverpb.Lease/LeaseTimeToLive"
    case leaseLeases = "/etcdserverpb.Lease/LeaseLeases"
    case memberAdd = "/etcdserverpb.Cluster/MemberAdd"
    case memberRemove = "/etcdserverpb.Cluster/MemberRemove"
    case memberUpdate = "/etcdserverpb.Cluster/MemberUpdate"
    case memberList = "/etcdserverpb.Cluster/MemberList"
    case memberPromote = "/etcdserverpb.Cluster/MemberPromote"
    case alarm = "/etcdserverpb.Maintenance/Alarm"
    case status = "/etcdserverpb.Maintenance/Status"
    case defragment = "/etcdserverpb.Maintenance/Defragment"
    case hash = "/etcdserverpb.Maintenance/Hash"
    case hashKV = "/etcdserverpb.Maintenance/HashKV"
    case snapshot = "/etcdserverpb.Maintenance/Snapshot"
    case moveLeader = "/etcdserverpb.Maintenance/MoveLeader"
    case downgrade = "/etcdserverpb.Maintenance/Downgrade"
    case authEnable = "/etcdserverpb.Auth/AuthEnable"
    case authDisable = "/etcdserverpb.Auth/AuthDisable"
    case authStatus = "/etcdserverpb.Auth/AuthStatus"
    case authenticate = "/etcdserverpb.Auth/Authenticate"
    case userAdd = "/etcdserverpb.Auth/UserAdd"
    case userGet = "/etcdserverpb.Auth/UserGet"
    case userList = "/etcdserverpb.Auth/UserList"
    case userDelete = "/etcdserverpb.Auth/UserDelete"
    case userChangePassword = "/etcdserverpb.Auth/UserChangePassword"
    case userGrantRole = "/etcdserverpb.Auth/UserGrantRole"
    case userRevokeRole = "/etcdserverpb.Auth/UserRevokeRole"
    case roleAdd = "/etcdserverpb.Auth/RoleAdd"
    case roleGet = "/etcdserverpb.Auth/RoleGet"
    case roleList = "/etcdserverpb.Auth/RoleList"
    case roleDelete = "/etcdserverpb.Auth/RoleDelete"
    case roleGrantPermission = "/etcdserverpb.Auth/RoleGrantPermission"
    case roleRevokePermission = "/etcdserverpb.Auth/RoleRevokePermission"
    case lock = "/v3lockpb.Lock/Lock"
    case unlock = "/v3lockpb.Lock/Unlock"
    case campaign = "/v3electionpb.Election/Campaign"
    case proclaim = "/v3electionpb.Election/Proclaim"
    case leader = "/v3electionpb.Election/Leader"
    case observe = "/v3electionpb.Election/Observe"
    case resign = "/v3electionpb.Election/Resign"

    /// Doing it twice is doing it once, so that an attempt whose fate is unknown may be repeated. As clientv3: reads,
    /// and what ends in the same state.
    var isRepeatable: Bool {
        switch self {
        case .range, .rangeStream, .leaseTimeToLive, .leaseLeases, .leaseRevoke, .memberList, .alarm, .status, .hash, .hashKV,
            .authenticate, .authStatus, .userGet, .userList, .roleGet, .roleList, .leader, .observe, .snapshot:
            true
        default: false
        }
    }
}
