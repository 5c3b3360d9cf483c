// Memory of one value's message: given out by moving a pointer, taken back all at once.

import CProtobufC

/// Blocks of memory behind libprotobuf-c's allocator. Not thread-safe.
final class Arena {
    private var blocks: [(base: UnsafeMutableRawPointer, size: Int)] = []
    private var next: UnsafeMutableRawPointer
    private var left: Int
    /// Bytes that may still be taken from the system.
    private var allowance = Int.max
    /// Something was refused since the last reset.
    private(set) var isExhausted = false
    private(set) var allocator = ProtobufCAllocator()

    private static let firstBlock = 64 << 10

    init() {
        let base = UnsafeMutableRawPointer.allocate(byteCount: Self.firstBlock, alignment: 16)
        blocks = [(base, Self.firstBlock)]
        next = base
        left = Self.firstBlock
        allocator.alloc = { data, size in
            Unmanaged<Arena>.fromOpaque(data!)._withUnsafeGuaranteedRef { $0.take(size) }
        }
        allocator.free = { _, _ in }
        allocator.allocator_data = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit { for block in blocks { block.base.deallocate() } }

    /// Uninitialised memory until `reset`. For memory in proportion to the input.
    func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        allowance = .max
        return take(size).unsafelyUnwrapped
    }

    /// Nil when it would be more than the limit.
    @inline(__always)
    private func take(_ size: Int) -> UnsafeMutableRawPointer? {
        let rounded = (size + 15) & ~15
        guard rounded <= left else { return grow(rounded) }
        let result = next
        next += rounded
        left -= rounded
        return result
    }

    /// A message with all fields absent.
    func allocate(_ plan: MessagePlan) -> UnsafeMutableRawPointer {
        let memory = allocate(plan.size)
        memory.copyMemory(from: plan.empty, byteCount: plan.size)
        return memory
    }

    private func grow(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= allowance else {
            isExhausted = true
            return nil
        }
        let block = min(max(size, blocks.last!.size * 2), max(size, allowance))
        if allowance != .max { allowance -= block }
        let base = UnsafeMutableRawPointer.allocate(byteCount: block, alignment: 16)
        blocks.append((base, block))
        next = base + size
        left = block - size
        return base
    }

    /// Forgets everything given out. The largest block stays, unless it is very large.
    ///
    /// - Parameter limit: of what libprotobuf-c may take from now on.
    func reset(limit: Int = .max) {
        allowance = limit
        isExhausted = false
        if blocks.count > 1 {
            let kept = blocks.last { $0.size <= DecoderLimits.arenaBytesKept } ?? blocks[0]
            for block in blocks where block.base != kept.base { block.base.deallocate() }
            blocks = [kept]
        }
        next = blocks[0].base
        left = blocks[0].size
    }
}
