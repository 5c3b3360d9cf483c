// Which methods are served.

import KeySpace
import Transport
import Wire

enum ServiceTable {
    static func make(_ node: Node, _ maintenance: StoreMaintenance) -> Services {
        var methods = MethodTable()
        let kv = "etcdserverpb.KV"
        methods.add(service: kv, method: "Range", kind: .unary, RangeMethod(node))
        methods.add(service: kv, method: "RangeStream", kind: .serverStreaming, RangeStreamMethod(node))
        methods.add(service: kv, method: "Put", kind: .unary, PutMethod(node))
        methods.add(service: kv, method: "DeleteRange", kind: .unary, DeleteRangeMethod(node))
        methods.add(service: kv, method: "Txn", kind: .unary, TxnMethod(node))
        methods.add(service: kv, method: "Compact", kind: .unary, CompactMethod(node))
        methods.add(service: "etcdserverpb.Watch", method: "Watch", kind: .bidirectional, WatchMethod(node))
        let lease = "etcdserverpb.Lease"
        methods.add(service: lease, method: "LeaseGrant", kind: .unary, LeaseGrantMethod(node))
        methods.add(service: lease, method: "LeaseRevoke", kind: .unary, LeaseRevokeMethod(node))
        methods.add(service: lease, method: "LeaseKeepAlive", kind: .bidirectional, LeaseKeepAliveMethod(node))
        methods.add(service: lease, method: "LeaseTimeToLive", kind: .unary, LeaseTimeToLiveMethod(node))
        methods.add(service: lease, method: "LeaseLeases", kind: .unary, FieldlessMethod(LeaseLeasesMethod(node)))
        let cluster = "etcdserverpb.Cluster"
        methods.add(service: cluster, method: "MemberList", kind: .unary, MemberListMethod(node))
        methods.add(service: cluster, method: "MemberAdd", kind: .unary, MemberAddMethod(node))
        methods.add(service: cluster, method: "MemberRemove", kind: .unary, MemberRemoveMethod(node))
        methods.add(service: cluster, method: "MemberPromote", kind: .unary, MemberPromoteMethod(node))
        methods.add(service: cluster, method: "MemberUpdate", kind: .unary, MemberUpdateMethod(node))
        let auth = "etcdserverpb.Auth"
        methods.add(service: auth, method: "Authenticate", kind: .unary, AuthenticateMethod(node))
        methods.add(service: auth, method: "UserAdd", kind: .unary, PasswordMethod(node, .authUserAdd))
        methods.add(service: auth, method: "UserChangePassword", kind: .unary, PasswordMethod(node, .authUserChangePassword))
        let proposals: [(String, InternalRequestKind)] = [
            ("AuthEnable", .authEnable), ("AuthDisable", .authDisable), ("AuthStatus", .authStatus),
            ("UserGet", .authUserGet), ("UserList", .authUserList), ("UserDelete", .authUserDelete),
            ("UserGrantRole", .authUserGrantRole), ("UserRevokeRole", .authUserRevokeRole),
            ("RoleAdd", .authRoleAdd), ("RoleGet", .authRoleGet), ("RoleList", .authRoleList),
            ("RoleDelete", .authRoleDelete), ("RoleGrantPermission", .authRoleGrantPermission),
            ("RoleRevokePermission", .authRoleRevokePermission),
        ]
        for (name, kind) in proposals {
            methods.add(service: auth, method: name, kind: .unary, AuthProposalMethod(node, kind))
        }
        let upkeep = "etcdserverpb.Maintenance"
        methods.add(service: upkeep, method: "Status", kind: .unary, FieldlessMethod(StatusMethod(node)))
        methods.add(service: upkeep, method: "Alarm", kind: .unary, AlarmMethod(node))
        methods.add(service: upkeep, method: "Hash", kind: .unary, FieldlessMethod(HashMethod(node)))
        methods.add(service: upkeep, method: "Snapshot", kind: .serverStreaming, FieldlessMethod(SnapshotMethod(node)))
        methods.add(service: upkeep, method: "HashKV", kind: .unary, HashKVMethod(node))
        methods.add(service: upkeep, method: "Defragment", kind: .unary, FieldlessMethod(DefragmentMethod(node, maintenance)))
        methods.add(service: upkeep, method: "Downgrade", kind: .unary, DowngradeMethod(node))
        methods.add(service: upkeep, method: "MoveLeader", kind: .unary, MoveLeaderMethod(node))
        let lock = "v3lockpb.Lock"
        methods.add(service: lock, method: "Lock", kind: .unary, LockMethod(node))
        methods.add(service: lock, method: "Unlock", kind: .unary, UnlockMethod(node))
        let election = "v3electionpb.Election"
        methods.add(service: election, method: "Campaign", kind: .unary, CampaignMethod(node))
        methods.add(service: election, method: "Proclaim", kind: .unary, ProclaimMethod(node))
        methods.add(service: election, method: "Leader", kind: .unary, LeaderMethod(node))
        methods.add(service: election, method: "Observe", kind: .serverStreaming, ObserveMethod(node))
        methods.add(service: election, method: "Resign", kind: .unary, ResignMethod(node))
        node.health.register(in: &methods)
        return Services(methods: node.audit.map { audited(methods, $0) } ?? methods)
    }

    /// The same methods, with those that change something told to the audit log.
    private static func audited(_ methods: MethodTable, _ audit: AuditLog) -> MethodTable {
        var table = MethodTable()
        for method in methods.methods {
            let isAudited = method.kind == .unary && audit.audits(service: method.service, method: method.name)
            table.add(
                service: method.service, method: method.name, kind: method.kind,
                isAudited ? AuditedMethod(method.handler, audit, method: method.name) : method.handler)
        }
        return table
    }
}
