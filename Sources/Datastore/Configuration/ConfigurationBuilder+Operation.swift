// Logs, traces and authentication.

import DatastoreTracing

extension ConfigurationBuilder {
    mutating func logSettings() throws(ConfigurationError) -> LogSettings {
        let logger = values.string("logger")
        guard logger == "zap" else { throw ConfigurationError("unknown logger option \(quoted(logger))") }
        let levelText = values.string("log-level")
        guard let level = LogLevel(name: levelText) else {
            throw ConfigurationError("unrecognized level: \(quoted(levelText))")
        }
        let formatText = values.string("log-format")
        guard let format = LogFormat(rawValue: formatText) else {
            throw ConfigurationError("unknown log format: \(formatText), supported values json, console")
        }
        let texts = values.strings("log-outputs")
        let outputs: LogOutputs
        do { outputs = try LogOutputs(texts) } catch { throw ConfigurationError(error.description) }
        return LogSettings(
            level: level, format: format, outputs: outputs, outputTexts: texts,
            rotation: try logRotation(texts))
    }

    private func logRotation(_ texts: [String]) throws(ConfigurationError) -> LogRotation? {
        guard values.boolean("enable-log-rotation") else { return nil }
        // What is no file of the standard streams counts as one, as in etcd; without any there is nothing to rotate.
        let files = texts.count { $0 != "default" && $0 != "stderr" && $0 != "stdout" }
        guard files <= 1, files == 1 || texts.count != 1 else {
            throw ConfigurationError(
                "--log-outputs requires a single file path when --log-rotate-config-json is defined")
        }
        return try LogRotation(values.string("log-rotation-config-json"))
    }

    func monitoringSettings() -> MonitoringSettings {
        let prefixes = values.string("resource-prefixes").split(separator: ",").map { $0.filter { $0 != " " } }
        return MonitoringSettings(
            resourcePrefixes: prefixes.filter { !$0.isEmpty }, resourceSeriesMax: Int(values.unsigned("resource-metrics-max")),
            clientSeriesMax: Int(values.unsigned("client-metrics-max")), observesRequests: values.boolean("observe-requests"))
    }

    /// What tells of requests needs them to be observed.
    func checkObservation(_ tracing: TraceExport, _ audit: AuditSettings) throws(ConfigurationError) {
        guard !values.boolean("observe-requests") else { return }
        if audit.isEnabled { throw ConfigurationError("--audit-log-output needs --observe-requests=true") }
        if tracing.isEnabled { throw ConfigurationError("--enable-distributed-tracing needs --observe-requests=true") }
    }

    func auditSettings() throws(ConfigurationError) -> AuditSettings {
        AuditSettings(
            path: values.string("audit-log-output"), rotation: try LogRotation(values.string("audit-log-rotation-config-json")),
            prefixes: values.strings("audit-log-key-prefixes"), methods: values.strings("audit-log-methods"))
    }

    func traceExport() throws(ConfigurationError) -> TraceExport {
        let isEnabled = values.boolean("enable-distributed-tracing")
        let rate = values.signed("distributed-tracing-sampling-rate")
        if isEnabled && !(0...1_000_000).contains(rate) {
            throw ConfigurationError(
                "distributed tracing sampling rate must be between 0 and 1000000 per million (set to \(rate))")
        }
        return TraceExport(
            isEnabled: isEnabled, address: values.string("distributed-tracing-address"),
            serviceName: values.string("distributed-tracing-service-name"),
            instanceID: values.string("distributed-tracing-instance-id"), samplesPerMillion: rate)
    }

    mutating func authenticationSettings() throws(ConfigurationError) -> AuthenticationSettings {
        let token = try AuthToken(values.string("auth-token"), lines: &lines)
        var cost = values.unsigned("bcrypt-cost")
        if !(4...31).contains(cost) {
            note(
                .warn, "use default bcrypt cost instead of the invalid given cost", .int("min-cost", 4),
                .int("max-cost", 31), .int("default-cost", 10), .uint64("given-cost", cost))
            cost = 10
        }
        return AuthenticationSettings(
            token: token, bcryptCost: Int(cost), simpleTokenTTLSeconds: values.unsigned("auth-token-ttl"))
    }
}
