// The write-ahead log's bytes, compared with what etcd writes.

import Storage
import StorageSimulation
import Testing
import Wire

@Suite struct WALFormatTests {
    /// A bitwise CRC-32C, so that the fast one is not compared with itself.
    private func checksum(_ bytes: [UInt8], continuing crc: UInt32 = 0) -> UInt32 {
        var register = ~crc
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
        }
        return ~register
    }

    private func varint(_ value: UInt64) -> [UInt8] {
        var value = value
        var bytes: [UInt8] = []
        while value >= 0x80 {
            bytes.append(UInt8(value & 0x7f) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }

    /// A frame made by the rules of the format, byte by byte.
    private func frame(type: UInt8, crc: UInt32, data: [UInt8]?) -> [UInt8] {
        var record = [0x08, type, 0x10] + varint(UInt64(crc))
        if let data { record += [0x1a] + varint(UInt64(data.count)) + data }
        let pad = (8 - record.count % 8) % 8
        var length = (0..<8).map { UInt8(truncatingIfNeeded: record.count >> ($0 * 8)) }
        if pad > 0 { length[7] = 0x80 | UInt8(pad) }
        return length + record + [UInt8](repeating: 0, count: pad)
    }

    @Test func everyRecordHasEtcdsBytes() throws {
        let system = SimulatedFileSystem()
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/m/wal", metadata: walMetadata, options: walOptions())
        let change = [UInt8](#"{"id":3982666145420501407}"#.utf8)
        try log.append(
            hardState: HardState(term: 1, vote: MemberID(0), commit: 1),
            entries: [Entry(kind: .configurationChange, term: 1, index: 1, data: change), Entry(term: 2, index: 2)])
        try log.saveSnapshot(
            SnapshotMetadata(index: 2, term: 2, configuration: ConfigurationState(voters: [MemberID(5)], learners: [MemberID(300)])))
        try log.cut()
        try log.close()

        let metadata = [0x08] + varint(0x3744_F86E_18BE_6EFF) + [0x10] + varint(0x49E3_5C4D_2A1B_0F77)
        let entry = [0x08, 1, 0x10, 1, 0x18, 1, 0x22, UInt8(change.count)] + change
        let empty: [UInt8] = [0x08, 0, 0x10, 2, 0x18, 2]
        let state: [UInt8] = [0x08, 1, 0x10, 0, 0x18, 1]
        let configuration: [UInt8] = [0x08, 5, 0x10, 0xac, 2, 0x28, 0]
        let records: [(UInt8, [UInt8])] = [
            (1, metadata), (5, [0x08, 0, 0x10, 0]), (2, entry), (2, empty), (3, state),
            (5, [0x08, 2, 0x10, 2, 0x1a, UInt8(configuration.count)] + configuration),
        ]
        var expected = frame(type: 4, crc: 0, data: nil)
        // etcd writes exactly this at offset 0.
        #expect(expected == [4, 0, 0, 0, 0, 0, 0, 0x84, 0x08, 4, 0x10, 0, 0, 0, 0, 0])
        var crc: UInt32 = 0
        for (type, data) in records {
            crc = checksum(data, continuing: crc)
            expected += frame(type: type, crc: crc, data: data)
        }
        #expect(try system.bytes(of: "/m/wal/0000000000000000-0000000000000000.wal") == expected)

        // The next file: checksum carried over, metadata, state; named after the next entry.
        var second = frame(type: 4, crc: crc, data: nil)
        for (type, data) in [(1, metadata), (3, state)] as [(UInt8, [UInt8])] {
            crc = checksum(data, continuing: crc)
            second += frame(type: type, crc: crc, data: data)
        }
        let bytes = try system.bytes(of: "/m/wal/0000000000000001-0000000000000003.wal")
        #expect(bytes.count == 8192)
        #expect(Array(bytes.prefix(second.count)) == second && bytes.dropFirst(second.count).allSatisfy { $0 == 0 })
    }

    @Test func offsetsOfAFreshMemberAreEtcds() throws {
        let system = SimulatedFileSystem()
        let log = try WriteAheadLog.create(fileSystem: system, directory: "/m/wal", metadata: walMetadata, options: walOptions())
        try log.close()
        let bytes = try system.bytes(of: "/m/wal/0000000000000000-0000000000000000.wal")
        #expect(Array(bytes[16..<24]) == [30, 0, 0, 0, 0, 0, 0, 0x82])
        #expect(Array(bytes[56..<64]) == [14, 0, 0, 0, 0, 0, 0, 0x82])
        #expect(Array(bytes[74..<78]) == [0x08, 0, 0x10, 0])
        #expect(bytes[80...].allSatisfy { $0 == 0 })
    }

    @Test func aFileOfThe37GoRuntimeIsRead() throws {
        // Fields that were never set are absent, and the order is free.
        let metadata: [UInt8] = [0x10, 9, 0x08, 7]
        let records: [(UInt8, [UInt8])] = [
            (1, metadata), (5, []), (2, [0x18, 1, 0x10, 1]), (2, [0x22, 2, 5, 6, 0x18, 2, 0x10, 1]), (3, [0x18, 2, 0x08, 1]),
        ]
        var bytes = frame(type: 4, crc: 0, data: nil)
        var crc: UInt32 = 0
        for (type, data) in records {
            crc = checksum(data, continuing: crc)
            bytes += frame(type: type, crc: crc, data: data)
        }
        let system = SimulatedFileSystem()
        try system.createDirectory("/wal")
        try system.install("/wal/0000000000000000-0000000000000000.wal", bytes)
        let contents = try WriteAheadLog.open(fileSystem: system, directory: "/wal", options: walOptions()).contents
        #expect(contents.metadata == WALMetadata(memberID: MemberID(7), clusterID: ClusterID(9)))
        #expect(contents.entries == [Entry(term: 1, index: 1), Entry(term: 1, index: 2, data: [5, 6])])
        #expect(contents.hardState == HardState(term: 1, vote: .none, commit: 2))
    }
}
