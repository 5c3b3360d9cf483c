// Which methods are served.

import Transport

enum ServiceTable {
    static func make(_ node: Node) -> Services {
        var methods = MethodTable()
        let kv = "etcdserverpb.KV"
        methods.add(service: kv, method: "Range", kind: .unary, RangeMethod(node))
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
        methods.add(service: lease, method: "LeaseLeases", kind: .unary, LeaseLeasesMethod(node))
        methods.add(service: "etcdserverpb.Cluster", method: "MemberList", kind: .unary, MemberListMethod(node))
        let maintenance = "etcdserverpb.Maintenance"
        methods.add(service: maintenance, method: "Status", kind: .unary, StatusMethod(node))
        methods.add(service: maintenance, method: "Alarm", kind: .unary, AlarmMethod(node))
        node.health.register(in: &methods)
        return Services(methods: methods)
    }
}
