// The parts that are values, against naive models.

import Testing
import Wire

@testable import Transport

@Suite struct ValueTests {
    @Test func timeoutsAreParsed() throws {
        func parse(_ text: String) throws -> UInt64 { try Array(text.utf8).withUnsafeBytes { try GRPCTimeout.parse($0) } }
        #expect(try parse("1n") == 1)
        #expect(try parse("33996000u") == 33_996_000_000)
        #expect(try parse("250m") == 250_000_000)
        #expect(try parse("5S") == 5_000_000_000)
        #expect(try parse("2M") == 120_000_000_000)
        #expect(try parse("99999999H") == TransportLimits.deadlineNanosecondsMax)
        #expect(try parse("00000000n") == 0)
        for (text, message) in [
            ("", "transport: timeout string is too short: \"\""), ("5", "transport: timeout string is too short: \"5\""),
            ("123456789m", "transport: timeout string is too long: \"123456789m\""),
            ("5x", "transport: timeout unit is not recognized: \"5x\""),
            ("1f6n", "strconv.ParseUint: parsing \"1f6\": invalid syntax"),
        ] {
            var failed = false
            defer { #expect(failed) }
            do { _ = try parse(text) } catch { failed = true; #expect((error as? GRPCTimeout.Malformed)?.text == message) }
        }
    }

    @Test func timeoutsSurviveARoundTrip() throws {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let value = UInt64.random(in: 0...(1 << UInt64.random(in: 1...60, using: &generator)), using: &generator)
            let text = GRPCTimeout.format(nanoseconds: value)
            let back = try Array(text.utf8).withUnsafeBytes { try GRPCTimeout.parse($0) }
            // Never early, and late by no more than one unit of eight digits.
            #expect(back >= value && back - value <= value / 100_000 + 1, "\(value) became \(text)")
        }
    }

    @Test func messagesArePercentEncoded() {
        func decode(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { PercentEncoding.decode($0) } }
        #expect(PercentEncoding.encode("plain text ~") == "plain text ~")
        #expect(PercentEncoding.encode("100% ü\n") == "100%25 %C3%BC%0A")
        #expect(decode("100%25 %C3%bC%0A") == "100% ü\n")
        #expect(decode("%") == "%" && decode("%4") == "%4" && decode("%zz%41") == "%zzA")
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<500 {
            let text = String((0..<20).map { _ in Character(Unicode.Scalar(UInt32.random(in: 1...0x7ff, using: &generator))!) })
            #expect(decode(PercentEncoding.encode(text)) == text)
        }
    }

    @Test func quotingFollowsGo() {
        #expect(quoted("a\"b\\c\n\u{1}\u{7f}") == "\"a\\\"b\\\\c\\n\\x01\\x7f\"")
    }

    @Test func deadlinesComeOutInOrder() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<50 {
            var heap = DeadlineHeap()
            var positions: [UInt32: Int] = [:]
            var model: [UInt32: UInt64] = [:]
            for step in 0..<400 {
                if model.isEmpty || Int.random(in: 0..<3, using: &generator) > 0 {
                    let entry = DeadlineHeap.Entry(deadline: UInt64.random(in: 0..<100, using: &generator), slot: UInt32(step))
                    heap.insert(entry) { positions[$0] = $1 }
                    model[entry.slot] = entry.deadline
                } else {
                    let slot = Bool.random(using: &generator) ? heap.first!.slot : model.keys.sorted().randomElement(using: &generator)!
                    #expect(heap.entries[positions[slot]!].slot == slot)
                    heap.remove(at: positions[slot]!) { positions[$0] = $1 }
                    model[slot] = nil
                    positions[slot] = nil
                }
                #expect(heap.count == model.count)
                #expect(heap.first?.deadline == model.values.min())
                for (index, entry) in heap.entries.enumerated() {
                    #expect(positions[entry.slot] == index)
                    #expect(model[entry.slot] == entry.deadline)
                    if index > 0 { #expect(heap.entries[(index - 1) / 2].deadline <= entry.deadline) }
                }
            }
        }
    }

    @Test func outputQueuesGiveBackWhatWasPutIn() {
        for seed in UInt64(1)...60 {
            var generator = SeededGenerator(seed: seed)
            let arena = ByteSink(capacity: 64)
            var queue = OutputQueue()
            var model: [UInt8] = []
            var held = 0
            var sourceLeft = 0
            for _ in 0..<300 {
                switch Int.random(in: 0..<6, using: &generator) {
                case 0, 1:
                    let bytes = generator.bytes(Int.random(in: 1...200, using: &generator))
                    let start = arena.count
                    arena.append(bytes)
                    queue.appendArena(start..<arena.count)
                    model += bytes
                case 2:
                    let bytes = generator.bytes(Int.random(in: 1...500, using: &generator))
                    queue.append(SharedBytes(count: bytes.count) { $0.copyBytes(from: bytes) })
                    model += bytes
                case 3:
                    let length = Int.random(in: 1...700, using: &generator)
                    queue.append(CountingSource(length: length), length: length)
                    model += CountingSource.expected(length)
                    sourceLeft += length
                case 4:
                    queue.leaveArena(arena.base)
                    arena.clear()
                default:
                    let size = Int.random(in: 1...600, using: &generator)
                    let frames = Int.random(in: 0...3, using: &generator)
                    let gap = WrittenAhead.frameHeaderBytes
                    var target = [UInt8](repeating: 0, count: (frames + 1) * (size + gap))
                    let (count, written, result) = target.withUnsafeMutableBytes {
                        queue.pull(into: $0.baseAddress!, length: size, ahead: frames * size, gap: gap, arena: arena.base)
                    }
                    #expect(count == min(size, model.count), "seed \(seed)")
                    #expect(Array(target[..<count]) == Array(model[..<count]), "seed \(seed)")
                    #expect(result == .filled || model.count == count)
                    model.removeFirst(count)
                    guard written > 0 else { break }
                    // Some of what was written ahead goes out from where it is, the queue keeps the rest.
                    #expect(written <= frames * size)
                    var ahead = WrittenAhead(call: 0, position: count + gap, frameBytes: size, count: written)
                    while ahead.count > 0, Bool.random(using: &generator) {
                        let next = ahead.next
                        #expect(Array(target[ahead.position..<ahead.position + next]) == Array(model[..<next]), "seed \(seed)")
                        model.removeFirst(next)
                        queue.takeAhead(next)
                        ahead.takeNext()
                    }
                    if ahead.count > 0 {
                        target.withUnsafeMutableBytes { bytes in
                            queue.keepAhead(ahead.count) { ahead.copy(from: bytes.baseAddress!, to: $0) }
                        }
                    }
                }
                held = queue.heldBytes
                #expect(held <= model.count)
                #expect(queue.isEmpty == model.isEmpty)
            }
            queue.leaveArena(arena.base)
            queue.destroy()
            #expect(queue.isEmpty && queue.heldBytes == 0)
            _ = sourceLeft
        }
    }

    @Test func inputBuffersKeepTheirBytes() {
        var generator = SeededGenerator(seed: 4)
        var buffer = InputBuffer()
        var model: [UInt8] = []
        for _ in 0..<2000 {
            if Bool.random(using: &generator) {
                let bytes = generator.bytes(Int.random(in: 0...300, using: &generator))
                bytes.withUnsafeBytes { buffer.append($0, expected: Int.random(in: 0...3000, using: &generator)) }
                model += bytes
            } else {
                let count = Int.random(in: 0...model.count, using: &generator)
                buffer.removeFirst(count)
                model.removeFirst(count)
            }
            #expect(Array(buffer.bytes) == model)
            #expect(buffer.capacity <= max(2 * 65536, 4 * model.count + 3000))
        }
        buffer.release()
    }

    @Test func anAnnouncedMessageGetsNoMemoryBeforeItsBytes() {
        var buffer = InputBuffer()
        [UInt8](repeating: 0, count: 10).withUnsafeBytes { buffer.append($0, expected: 2_000_000) }
        #expect(buffer.capacity < 1000)
        buffer.release()
    }

    @Test func slotsAreFoundUntilTheyAreReleased() {
        var table = CallTable()
        var generator = SeededGenerator(seed: 5)
        var taken: [(index: UInt32, generation: UInt32)] = []
        var released: [(index: UInt32, generation: UInt32)] = []
        for _ in 0..<3000 {
            if taken.isEmpty || Int.random(in: 0..<5, using: &generator) < 3 {
                let index = table.take()
                #expect(!taken.contains { $0.index == index })
                taken.append((index, table[index].pointee.generation))
            } else {
                let entry = taken.remove(at: Int.random(in: 0..<taken.count, using: &generator))
                table.release(entry.index)
                released.append(entry)
            }
            #expect(table.takenCount == taken.count)
        }
        table.checkInvariants()
        for entry in taken { #expect(table.find(entry.index, entry.generation) == table[entry.index]) }
        for entry in released { #expect(table.find(entry.index, entry.generation) == nil) }
        #expect(table.find(1_000_000, 0) == nil)
        for entry in taken { table.release(entry.index) }
        table.destroy()
    }

    @Test func methodsAreFoundByPath() {
        var table = MethodTable()
        let handler = EchoMethod()
        for service in 0..<20 {
            for method in 0..<20 { table.add(service: "pkg.Service\(service)", method: "Method\(method)", kind: .unary, handler) }
        }
        func find(_ path: String) -> Int? { Array(path.utf8).withUnsafeBytes { table.find($0) } }
        for (position, method) in table.methods.enumerated() { #expect(find("/\(method.service)/\(method.name)") == position) }
        for path in ["", "/", "/pkg.Service1/Method20", "pkg.Service1/Method1", "/pkg.Service1/Method1/"] { #expect(find(path) == nil) }
    }

    @Test func pingsAreCountedAsGRPCGoDoes() {
        /// The first ping that is refused, with `output` sent before every `outputEvery`th.
        func firstRefused(
            _ seconds: [Double], openCalls: Int, outputEvery: Int = .max, _ policy: KeepalivePolicy = KeepalivePolicy()
        ) -> Int? {
            var policy = PingPolicy(policy)
            for (number, time) in seconds.enumerated() {
                if outputEvery < .max, number % outputEvery == 0 { policy.sent() }
                if !policy.pinged(now: UInt64(time * 1e9), openCalls: openCalls) { return number }
            }
            return nil
        }
        let many = Array(0..<100)
        // Strikes for pings closer than the minimum; the third is too many.
        #expect(firstRefused([100, 101, 102, 103], openCalls: 1) == 3)
        #expect(firstRefused(many.map { Double($0) * 5 }, openCalls: 1) == nil)
        // Without a call they must be hours apart.
        #expect(firstRefused(many.map { Double($0) * 600 }, openCalls: 0) == 3)
        #expect(firstRefused(many.map { Double($0) * 7200 }, openCalls: 0) == nil)
        // A ping after output is free and forgives the earlier ones.
        #expect(firstRefused(many.map { Double($0) / 1000 }, openCalls: 0, outputEvery: 3) == nil)
        #expect(firstRefused(many.map { Double($0) / 1000 }, openCalls: 0, outputEvery: 4) == 3)
        var lenient = KeepalivePolicy()
        lenient.clientPingWithoutCalls = true
        #expect(firstRefused(many.map { Double($0) * 5 }, openCalls: 0, lenient) == nil)
    }

    @Test func datesAreFormatted() {
        #expect(HTTPDate.format(seconds: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
    }
}
