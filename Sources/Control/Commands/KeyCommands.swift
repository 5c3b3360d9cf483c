// get, put, del, compaction.

import Client
import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

/// The flags of `get`, which transactions have too.
struct GetFlags {
    let consistency, order, sortBy: TypedFlag<String>
    let limit, revision, minCreate, maxCreate, minMod, maxMod: TypedFlag<Int64>
    let isPrefix, isFrom, keysOnly, countOnly, valuesOnly, isStream: TypedFlag<Bool>

    init(_ flags: FlagSet) {
        consistency = flags.add("consistency", "l", "Linearizable(l) or Serializable(s)")
        order = flags.add("order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)")
        sortBy = flags.add("sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION")
        limit = flags.add("limit", 0, "Maximum number of results")
        isPrefix = flags.add("prefix", false, "Get keys with matching prefix")
        isFrom = flags.add("from-key", false, "Get keys that are greater than or equal to the given key using byte compare")
        revision = flags.add("rev", 0, "Specify the kv revision")
        keysOnly = flags.add("keys-only", false, "Get only the keys")
        countOnly = flags.add("count-only", false, "Get only the count")
        valuesOnly = flags.add("print-value-only", false, "Only write values when using the \"simple\" output format")
        minCreate = flags.add("min-create-rev", 0, "Minimum create revision")
        maxCreate = flags.add("max-create-rev", 0, "Maximum create revision")
        minMod = flags.add("min-mod-rev", 0, "Minimum modification revision")
        maxMod = flags.add("max-mod-rev", 0, "Maximum modification revision")
        isStream = flags.add("stream", false, "Use the streaming RPC and merge its answers")
        order.proposedValues = ["ASCEND", "DESCEND"]
        sortBy.proposedValues = ["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]
        consistency.proposedValues = ["l", "s"]
    }

    func request(_ arguments: [String]) throws -> Get {
        guard !arguments.isEmpty else { throw badArguments("get command needs one argument as key and an optional argument as range_end") }
        try ranges(arguments, isPrefix.value, isFrom.value)
        if keysOnly.value, countOnly.value {
            throw badArguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one")
        }
        var get = Get(keyRange(arguments, isPrefix.value, isFrom.value))
        switch consistency.value {
        case "l": break
        case "s": get.isSerializable = true
        default: throw CommandFailure("unknown consistency flag \(GoText.quoted(consistency.value))", status: Status.badFeature)
        }
        switch order.value.uppercased() {
        case "ASCEND": get.order = .ascending
        case "DESCEND": get.order = .descending
        case "": break
        default: throw CommandFailure("bad sort order \(order.value)", status: Status.badFeature)
        }
        switch sortBy.value.uppercased() {
        case "CREATE": get.target = .create
        case "KEY", "": break
        case "MODIFY": get.target = .mod
        case "VALUE": get.target = .value
        case "VERSION": get.target = .version
        default: throw CommandFailure("bad sort target \(sortBy.value)", status: Status.badFeature)
        }
        // The order of keys is the one that ranges have anyway.
        if get.order == .ascending, get.target == .key { get.order = .none }
        get.limit = limit.value
        get.revision = revision.value
        get.keysOnly = keysOnly.value
        get.countOnly = countOnly.value
        get.minCreateRevision = minCreate.value
        get.maxCreateRevision = maxCreate.value
        get.minModRevision = minMod.value
        get.maxModRevision = maxMod.value
        return get
    }
}

/// The flags of `put`.
struct PutFlags {
    let lease: TypedFlag<String>
    let previous, ignoresValue, ignoresLease: TypedFlag<Bool>

    init(_ flags: FlagSet) {
        lease = flags.add("lease", "0", "lease ID (in hexadecimal) to attach to the key")
        previous = flags.add("prev-kv", false, "return the previous key-value pair before modification")
        ignoresValue = flags.add("ignore-value", false, "updates the key using its current value")
        ignoresLease = flags.add("ignore-lease", false, "updates the key using its current lease")
    }

    /// - Parameter input: the value, where none is given.
    func request(_ arguments: [String], input: () -> [UInt8]) throws -> Put {
        guard let key = arguments.first else { throw badArguments("put command needs 1 argument and input from stdin or 2 arguments") }
        if ignoresValue.value, arguments.count > 1 { throw badArguments("put command needs only 1 argument when 'ignore-value' is set") }
        var value: [UInt8] = []
        if !ignoresValue.value {
            value = arguments.count > 1 ? Array(arguments[1].utf8) : input()
            if arguments.count < 2, value.isEmpty { throw badArguments("put command needs 1 argument and input from stdin or 2 arguments") }
        }
        var put = Put(Array(key.utf8), value)
        switch Numbers.hexadecimal(lease.value) {
        case .success(let id): put.lease = id
        case .failure(let error): throw badArguments("bad lease ID (\(error)), expecting ID in Hex")
        }
        put.wantsPrevious = previous.value
        put.ignoresValue = ignoresValue.value
        put.ignoresLease = ignoresLease.value
        return put
    }
}

/// The flags of `del`.
struct DeleteFlags {
    let isPrefix, previous, isFrom, isRange: TypedFlag<Bool>

    init(_ flags: FlagSet) {
        isPrefix = flags.add("prefix", false, "delete keys with matching prefix")
        previous = flags.add("prev-kv", false, "return deleted key-value pairs")
        isFrom = flags.add("from-key", false, "delete keys that are greater than or equal to the given key using byte compare")
        isRange = flags.add("range", false, "delete range of keys without delay")
    }

    func request(_ arguments: [String]) throws -> Delete {
        guard arguments.count == 1 || arguments.count == 2 else {
            throw badArguments("del command needs one argument as key and an optional argument as range_end")
        }
        try ranges(arguments, isPrefix.value, isFrom.value)
        var delete = Delete(keyRange(arguments, isPrefix.value, isFrom.value))
        delete.wantsPrevious = previous.value
        return delete
    }
}

private func ranges(_ arguments: [String], _ isPrefix: Bool, _ isFrom: Bool) throws {
    if isPrefix, isFrom { throw badArguments("`--prefix` and `--from-key` cannot be set at the same time, choose one") }
    if arguments.count > 1, isPrefix || isFrom {
        throw badArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
    }
}

private func keyRange(_ arguments: [String], _ isPrefix: Bool, _ isFrom: Bool) -> KeyRange {
    let key = Array(arguments[0].utf8)
    if isPrefix { return .prefix(key) }
    if isFrom { return .from(key) }
    return arguments.count > 1 ? .interval(key, Array(arguments[1].utf8)) : .key(key)
}

extension ControlTool {
    func getCommand() -> Command {
        let command = Command("get [options] <key> [range_end]", "Gets the key or a range of keys")
        let flags = GetFlags(command.flags)
        let output = command.flags.add(
            "output", short: "o", "", "k8s: show stored Kubernetes objects decoded, as YAML or, with -w json, as JSON")
        output.proposedValues = ["k8s"]
        command.runAsync = { [unowned self] invocation in
            let get = try flags.request(invocation.arguments)
            var printer = self.printer(invocation.console)
            if output.isGiven { try Self.checkObjects(output.value, flags, printer.format) }
            let client = try await self.client(invocation.console)
            let answer = try await attempt {
                if flags.isStream.value { return try await self.merged(get, client) }
                return try await client.getAnswer(get, timeout: self.timeout)
            }
            if output.isGiven { return try Self.showObjects(answer.message, printer, withKeys: !flags.valuesOnly.value) }
            if flags.countOnly.value, printer.format != .fields {
                throw badArguments("--count-only is only for `--write-out=fields`")
            }
            if flags.valuesOnly.value {
                guard printer.format == .simple else { throw badArguments("print-value-only is only for `--write-out=simple`") }
                printer.valuesOnly = true
            }
            try printer.get(answer)
        }
        return command
    }

    /// Before anything is asked for.
    private static func checkObjects(_ output: String, _ flags: GetFlags, _ format: Format) throws {
        guard output == "k8s" else { throw CommandFailure("unknown output \(GoText.quoted(output)), there is k8s", status: Status.badFeature) }
        guard !flags.keysOnly.value, !flags.countOnly.value else {
            throw badArguments("`--output` shows values, which `--keys-only` and `--count-only` leave out")
        }
        guard format == .simple || format == .json else {
            throw CommandFailure("`--output=k8s` is for `--write-out` simple and json, not \(format.rawValue)", status: Status.badFeature)
        }
    }

    private static func showObjects(_ response: GetResponse, _ printer: Printer, withKeys: Bool) throws {
        let view = ObjectView()
        let damaged = printer.format == .json
            ? view.showJSON(response, printer) : view.showYAML(response.kvs, printer.console, withKeys: withKeys)
        guard damaged.isEmpty else {
            throw CommandFailure("damaged: \(damaged.joined(separator: " ")); `martlet-decoder` says more of such values")
        }
    }

    /// The parts of a streamed answer, as one.
    private func merged(_ get: Get, _ client: Client) async throws(ClientError) -> Answer<GetResponse> {
        var bytes: [UInt8] = []
        // A message whose encoding is the parts' one behind the other is their merger.
        for try await part in try await client.rangeStream(get) { bytes += part.bytes }
        return try Answer(merging: bytes)
    }

    func putCommand() -> Command {
        let command = Command(
            "put [options] <key> <value> (<value> can also be given from stdin)", "Puts the given key into the store",
            long: """
                Puts the given key into the store.

                When <value> begins with '-', <value> is interpreted as a flag.
                Insert '--' for workaround:

                $ put <key> -- <value>
                $ put -- <key> <value>

                If <value> isn't given as a command line argument and '--ignore-value' is not specified,
                this command tries to read the value from standard input.

                For example,
                $ cat file | put <key>
                will store the content of the file to <key>.
                """)
        let flags = PutFlags(command.flags)
        command.runAsync = { [unowned self] invocation in
            let put = try flags.request(invocation.arguments) { Terminal.input() }
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.putAnswer(put, timeout: self.timeout) }
            try self.printer(invocation.console).put(answer)
        }
        return command
    }

    func deleteCommand() -> Command {
        let command = Command("del [options] <key> [range_end]", "Removes the specified key or range of keys [key, range_end)")
        let flags = DeleteFlags(command.flags)
        command.runAsync = { [unowned self] invocation in
            let delete = try flags.request(invocation.arguments)
            if invocation.arguments.count > 1, !flags.isRange.value {
                let first = GoText.quoted(invocation.arguments[0]), last = GoText.quoted(invocation.arguments[1])
                invocation.console.print(
                    "Warning: Keys between \(first) and \(last) will be deleted. Please interrupt the command within next 2 seconds to cancel. "
                        + "You can provide `--range` flag to avoid the delay.", to: .error)
                try await Task.sleep(for: .seconds(2))
            }
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.deleteAnswer(delete, timeout: self.timeout) }
            try self.printer(invocation.console).delete(answer)
        }
        return command
    }

    func compactionCommand() -> Command {
        let command = Command("compaction [options] <revision>", "Compacts the event history in etcd")
        let physical = command.flags.add(
            "physical", false, "'true' to wait for compaction to physically remove all old revisions")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.count == 1 else { throw badArguments("compaction command needs 1 argument") }
            let revision: Int64
            switch Numbers.decimal(invocation.arguments[0]) {
            case .success(let number): revision = number
            case .failure(let error): throw CommandFailure(error.description)
            }
            let client = try await self.client(invocation.console)
            _ = try await attempt { try await client.compact(to: revision, waitsForDisk: physical.value, timeout: self.timeout) }
            invocation.console.print("compacted revision \(revision)")
        }
        return command
    }
}

extension Printer {
    func get(_ answer: Answer<GetResponse>) throws {
        try show(answer, "RangeResponse") { response in getFields(response) } simple: { response in
            for kv in response.kvs { keyValue(kv) }
        }
    }

    func getFields(_ response: GetResponse) {
        header(response.header)
        for kv in response.kvs { keyValueFields(kv) }
        field("More", response.more)
        field("Count", response.count)
    }

    func put(_ answer: Answer<PutResponse>) throws {
        try show(answer, "PutResponse") { putFields($0) } simple: { putSimple($0) }
    }

    func putFields(_ response: PutResponse) {
        header(response.header)
        if let previous = response.previous { keyValueFields(previous, prefix: "Prev") }
    }

    func putSimple(_ response: PutResponse) {
        line("OK")
        if let previous = response.previous { keyValue(previous) }
    }

    func delete(_ answer: Answer<DeleteResponse>) throws {
        try show(answer, "DeleteRangeResponse") { deleteFields($0) } simple: { deleteSimple($0) }
    }

    func deleteFields(_ response: DeleteResponse) {
        header(response.header)
        field("Deleted", response.deleted)
        for kv in response.previous { keyValueFields(kv, prefix: "Prev") }
    }

    func deleteSimple(_ response: DeleteResponse) {
        line(String(response.deleted))
        for kv in response.previous { keyValue(kv) }
    }
}
