// What is kept of a call that somebody wants to know more of, while it runs; and what is left of it when it has ended.

import DatastoreTracing
import SpanExport
import Transport
import Wire

/// Kept in the call's record; used on its event loop only.
final class RequestNotes {
    var description: RequestDescription?
    /// Nil until there is an answer, and for calls that fail.
    var answer: AnswerFacts?
    /// An apply that took too long.
    var apply: SlowApply?
    /// The trace that the call belongs to, if it is sampled.
    var trace: TraceContext?
    /// Fast or not, it is shown among the last requests.
    var isShown = false
    /// Lines about it are wanted whatever it took.
    var isVerbose = false
    /// It is recorded when it ends, whatever it took.
    var isKept = false
    /// What the audit log will say of it.
    var audit: AuditEntry?

    /// Who keeps these notes as their only kind of notes.
    static func of(_ call: Call) -> RequestNotes? { call.notes.map { unsafeDowncast($0, to: RequestNotes.self) } }

    /// The notes of a call, made if there are none; nil when the call is over.
    static func make(_ call: Call) -> RequestNotes? {
        if let notes = of(call) { return notes }
        guard call.isAlive else { return nil }
        let notes = RequestNotes()
        call.withRecord { $0.notes = notes }
        return notes
    }
}

/// How a call's messages come.
enum CallForm: Sendable {
    case unary
    /// One request, an answer in pieces.
    case answerStream
    /// Requests and answers for as long as the client likes.
    case stream
}

/// A method in the forms in which it is told.
struct MethodName: Sendable {
    let service: String
    let name: String
    /// `/etcdserverpb.KV/Range`.
    let path: String

    init(service: String, name: String) {
        self.service = service
        self.name = name
        path = "/\(service)/\(name)"
    }
}

/// A call that has ended, with all that will be told of it.
struct RequestRecord: Sendable {
    let form: CallForm
    let method: MethodName
    /// Nanoseconds since 1970.
    let start: Int64
    let nanoseconds: UInt64
    let span: RequestSpan
    let code: StatusCode
    let message: String
    let remote: String?
    let user: String
    let commonName: String
    let userAgent: String
    let key: [UInt8]
    let revision: Int64
    let requestBytes: Int
    let answerBytes: Int
    let description: RequestDescription?
    let answer: AnswerFacts?
    let apply: SlowApply?
    let trace: TraceContext?
    let isShown: Bool
    let isVerbose: Bool

    /// Empty for keys that are not Kubernetes' own.
    var resource: String { KubernetesResource.name(ofKey: key) ?? "" }

    /// Ours: what etcd's lines do not tell.
    var fields: [LogField] {
        var fields: [LogField] = []
        func add(_ name: String, _ text: String) { if !text.isEmpty { fields.append(.string(name, text)) } }
        add("user", user)
        add("client-cn", commonName)
        add("user-agent", userAgent)
        add("resource", resource)
        if description == nil, !key.isEmpty { add("key", String(decoding: key, as: UTF8.self)) }
        if revision > 0 { fields.append(.int("revision", revision)) }
        if code != .ok { add("status", code.name) }
        fields.append(span.field)
        if let slowest = span.slowest { add("slowest-step", slowest.step.name) }
        if let trace { add("trace-id", trace.traceIDText) }
        return fields
    }
}
