// gzip (RFC 1952) and DEFLATE (RFC 1951), decoding only: for requests that come with grpc-encoding: gzip.
// Such requests are rare, so this is made to be small and safe, not fast.

/// Decodes canonical prefix codes as DEFLATE defines them.
private struct PrefixCode {
    static let bitsMax = 15
    /// How many codes there are of each length.
    private var counts = [Int](repeating: 0, count: bitsMax + 1)
    /// Symbols in the order of their codes.
    private var symbols: [UInt16] = []

    /// Nil when the lengths describe more codes than there can be. An incomplete set is allowed: DEFLATE has
    /// them for a single distance, and a code that is not in the set is found when it is read.
    init?(lengths: some Collection<UInt8>) {
        for length in lengths { counts[Int(length)] += 1 }
        var room = 1
        for bits in 1...Self.bitsMax {
            room = room << 1 - counts[bits]
            if room < 0 { return nil }
        }
        var starts = [Int](repeating: 0, count: Self.bitsMax + 2)
        for bits in 1...Self.bitsMax { starts[bits + 1] = starts[bits] + counts[bits] }
        symbols = [UInt16](repeating: 0, count: starts[Self.bitsMax + 1])
        for (symbol, length) in lengths.enumerated() where length > 0 {
            symbols[starts[Int(length)]] = UInt16(symbol)
            starts[Int(length)] += 1
        }
        counts[0] = 0
    }

    /// Reads one symbol. Codes of one length are consecutive numbers, so it is enough to know how far the bits
    /// read so far lie behind the first code of their length.
    func read(_ bits: inout BitReader) throws(Gzip.Failure) -> Int {
        var code = 0
        var first = 0
        var index = 0
        for length in 1...Self.bitsMax {
            code |= try bits.take(1)
            let count = counts[length]
            if code - first < count { return Int(symbols[index + code - first]) }
            index += count
            first = (first + count) << 1
            code <<= 1
        }
        throw .corrupt
    }
}

/// Bits of a byte string, least significant first.
private struct BitReader {
    let bytes: UnsafeRawBufferPointer
    var position: Int
    private var held: UInt32 = 0
    private var heldCount = 0

    init(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        self.bytes = bytes
        self.position = position
    }

    mutating func take(_ count: Int) throws(Gzip.Failure) -> Int {
        while heldCount < count {
            guard position < bytes.count else { throw .truncated }
            held |= UInt32(bytes[position]) << UInt32(heldCount)
            position += 1
            heldCount += 8
        }
        defer {
            held >>= UInt32(count)
            heldCount -= count
        }
        return Int(held & (1 << UInt32(count) - 1))
    }

    /// Goes on at the next whole byte.
    mutating func alignToByte() {
        held = 0
        heldCount = 0
    }
}

enum Gzip {
    enum Failure: Error, Equatable {
        case truncated, notGzip, corrupt, checksum
        /// The output would be longer than allowed.
        case tooLarge

        var text: String {
            switch self {
            case .truncated: "unexpected EOF"
            case .notGzip: "gzip: invalid header"
            case .corrupt: "flate: corrupt input"
            case .checksum: "gzip: invalid checksum"
            case .tooLarge: "too large"
            }
        }
    }

    /// The content of all members of a gzip file.
    static func inflate(_ input: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> [UInt8] {
        var output: [UInt8] = []
        var position = 0
        repeat {
            let start = output.count
            position = try skipHeader(input, at: position)
            var bits = BitReader(input, at: position)
            try inflateBlocks(&bits, &output, from: start, limit: limit)
            bits.alignToByte()
            position = bits.position
            guard input.count - position >= 8 else { throw .truncated }
            let sum = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: position, as: UInt32.self))
            let size = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: position + 4, as: UInt32.self))
            guard sum == crc32(output[start...]), size == UInt32(truncatingIfNeeded: output.count - start) else { throw .checksum }
            position += 8
        } while position < input.count
        return output
    }

    private static func skipHeader(_ input: UnsafeRawBufferPointer, at start: Int) throws(Failure) -> Int {
        guard input.count - start >= 10 else { throw .truncated }
        guard input[start] == 0x1f, input[start + 1] == 0x8b, input[start + 2] == 8 else { throw .notGzip }
        let flags = input[start + 3]
        var position = start + 10
        if flags & 4 != 0 {
            guard input.count - position >= 2 else { throw .truncated }
            position += 2 + Int(input[position]) + Int(input[position + 1]) << 8
        }
        // The name and the comment end with a zero byte.
        for flag in [8, 16] as [UInt8] where flags & flag != 0 {
            while true {
                guard position < input.count else { throw .truncated }
                position += 1
                if input[position - 1] == 0 { break }
            }
        }
        if flags & 2 != 0 { position += 2 }
        guard position <= input.count else { throw .truncated }
        return position
    }

    // MARK: Blocks

    private static func inflateBlocks(
        _ bits: inout BitReader, _ output: inout [UInt8], from start: Int, limit: Int
    ) throws(Failure) {
        while true {
            let isLast = try bits.take(1) == 1
            switch try bits.take(2) {
            case 0: try copyStored(&bits, &output, limit: limit)
            case 1: try inflateCoded(&bits, &output, from: start, limit: limit, fixedLiterals, fixedDistances)
            case 2:
                let (literals, distances) = try readCodes(&bits)
                try inflateCoded(&bits, &output, from: start, limit: limit, literals, distances)
            default: throw .corrupt
            }
            if isLast { return }
        }
    }

    private static func copyStored(_ bits: inout BitReader, _ output: inout [UInt8], limit: Int) throws(Failure) {
        bits.alignToByte()
        let length = try bits.take(16)
        guard try bits.take(16) == ~length & 0xffff else { throw .corrupt }
        guard bits.bytes.count - bits.position >= length else { throw .truncated }
        guard output.count + length <= limit else { throw .tooLarge }
        output += bits.bytes[bits.position..<(bits.position + length)]
        bits.position += length
    }

    private static func inflateCoded(
        _ bits: inout BitReader, _ output: inout [UInt8], from start: Int, limit: Int, _ literals: PrefixCode,
        _ distances: PrefixCode
    ) throws(Failure) {
        while true {
            let symbol = try literals.read(&bits)
            if symbol < 256 {
                guard output.count < limit else { throw .tooLarge }
                output.append(UInt8(symbol))
                continue
            }
            if symbol == 256 { return }
            guard symbol - 257 < lengths.count else { throw .corrupt }
            let length = lengths[symbol - 257].base + (try bits.take(lengths[symbol - 257].bits))
            let step = try distances.read(&bits)
            guard step < steps.count else { throw .corrupt }
            let distance = steps[step].base + (try bits.take(steps[step].bits))
            guard distance <= output.count - start else { throw .corrupt }
            guard output.count + length <= limit else { throw .tooLarge }
            // Byte by byte: the copy may overlap what it makes.
            for _ in 0..<length { output.append(output[output.count - distance]) }
        }
    }

    /// The code lengths of a block are themselves coded, with runs.
    private static func readCodes(_ bits: inout BitReader) throws(Failure) -> (PrefixCode, PrefixCode) {
        let literalCount = 257 + (try bits.take(5))
        let distanceCount = 1 + (try bits.take(5))
        let lengthCount = 4 + (try bits.take(4))
        guard literalCount <= 286, distanceCount <= 30 else { throw .corrupt }
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        var codeLengths = [UInt8](repeating: 0, count: 19)
        for index in order.prefix(lengthCount) { codeLengths[index] = UInt8(try bits.take(3)) }
        guard let code = PrefixCode(lengths: codeLengths) else { throw .corrupt }
        var lengths: [UInt8] = []
        while lengths.count < literalCount + distanceCount {
            let symbol = try code.read(&bits)
            var repeated: UInt8 = 0
            var count = 1
            switch symbol {
            case 16:
                guard let last = lengths.last else { throw .corrupt }
                repeated = last
                count = 3 + (try bits.take(2))
            case 17: count = 3 + (try bits.take(3))
            case 18: count = 11 + (try bits.take(7))
            default: repeated = UInt8(symbol)
            }
            guard lengths.count + count <= literalCount + distanceCount else { throw .corrupt }
            lengths += repeatElement(repeated, count: count)
        }
        // Without the end-of-block code the block could not end.
        guard lengths[256] > 0, let literals = PrefixCode(lengths: lengths[..<literalCount]),
            let distances = PrefixCode(lengths: lengths[literalCount...])
        else { throw .corrupt }
        return (literals, distances)
    }

    private static let fixedLiterals = PrefixCode(
        lengths: (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 } as [UInt8])!
    private static let fixedDistances = PrefixCode(lengths: [UInt8](repeating: 5, count: 30))!

    /// What the length symbols from 257 on stand for: 3 … 10, then ever larger steps, and 258.
    private static let lengths: [(base: Int, bits: Int)] = {
        var table = (3...10).map { (base: $0, bits: 0) }
        var base = 11
        for bits in 1...5 {
            for _ in 0..<4 {
                table.append((base, bits))
                base += 1 << bits
            }
        }
        table[table.count - 1] = (227, 5)
        return table + [(258, 0)]
    }()

    /// What the distance symbols stand for.
    private static let steps: [(base: Int, bits: Int)] = {
        var table = (1...4).map { (base: $0, bits: 0) }
        var base = 5
        for bits in 1...13 {
            for _ in 0..<2 {
                table.append((base, bits))
                base += 1 << bits
            }
        }
        return table
    }()

    // MARK: Checksum

    private static let crcTable: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    }

    static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { $0 >> 8 ^ crcTable[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }
}
