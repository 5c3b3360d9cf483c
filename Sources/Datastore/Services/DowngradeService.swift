// Maintenance/Downgrade: whether the cluster may go one minor version down, and telling it to.

import KeySpace
import Transport
import Wire

final class DowngradeMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    private enum Action: Int64 { case validate = 0, enable = 1, cancel = 2 }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            let (action, version) = try Self.decode(bytes)
            try node.authorizeAdmin(call)
            guard let action = Action(rawValue: action) else { throw CallError.unknownAction }
            if action != .cancel {
                guard MinorVersion(version) != nil else { throw CallError.wrongDowngradeVersionFormat }
                if action == .validate, node.keySpace.cluster.current.version == nil { throw CallError.clusterVersionUnavailable }
            }
            node.linearize(call, bytes, self)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) -> (action: Int64, version: String) {
        var (action, version) = (Int64(0), "")
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: action = Int64(try reader.int32(type))
            case 2: version = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
        return (action, version)
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard let (number, version) = try? Self.decode(bytes), let action = Action(rawValue: number) else { return }
        let view = node.keySpace.cluster.current
        do {
            switch action {
            case .validate:
                _ = try validate(version, view)
                answer(call)
            case .enable:
                let target = try validate(version, view)
                propose(DowngradeInfoRequest(enabled: true, version: target.stored), call)
            case .cancel:
                guard view.downgradeEnabled else {
                    node.log.error("failed to cancel downgrade", .error(CallError.noInflightDowngrade.message))
                    return answer(call)
                }
                propose(DowngradeInfoRequest(enabled: false, version: ""), call)
            }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    private func validate(_ version: String, _ view: ClusterView) throws(CallError) -> MinorVersion {
        guard let target = MinorVersion(version) else { throw .wrongDowngradeVersionFormat }
        guard let cluster = view.version.flatMap({ MinorVersion($0) }) else { throw .clusterVersionUnavailable }
        guard target == cluster.oneBelow else { throw .invalidDowngradeTargetVersion }
        if view.downgradeEnabled { throw .downgradeInProcess }
        return target
    }

    private func propose(_ request: DowngradeInfoRequest, _ call: Call) {
        let sink = ByteSink(capacity: 32)
        request.encode(to: sink)
        let action = request.enabled ? "enable" : "cancel"
        withExtendedLifetime(sink) {
            node.propose(.downgradeInfoSet, sink.bytes, privileged: false) { [self] error in
                call.loop.execute { [self] in
                    if let error {
                        node.log.warn("failed to \(action) downgrade", .error(error.message))
                        // A cancellation is answered whatever became of it.
                        if request.enabled { return call.fail(error) }
                    }
                    answer(call)
                }
            }
        }
    }

    private func answer(_ call: Call) {
        let version = node.keySpace.cluster.current.version.flatMap { MinorVersion($0) }
        call.reply { sink in
            node.appendHeader(to: sink)
            if let version { sink.field(2, "\(version)") }
        }
    }
}

extension CallError {
    static let clusterVersionUnavailable = CallError(
        .failedPrecondition, "etcdserver: cluster version not found during downgrade")
    static let noInflightDowngrade = CallError(.failedPrecondition, "etcdserver: no inflight downgrade job")
}
