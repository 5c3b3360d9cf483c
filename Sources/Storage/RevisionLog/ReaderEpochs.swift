// Tells when nobody reads a removed segment any more, without a lock on the reader's side.
//
// A reader counts itself into the current epoch (one of two counters) and out again. The epoch moves on only when the
// counter of the one before is zero. What was unlinked in epoch e has no reader left once the epoch is e + 2: a reader
// that could have found it entered in e at the latest.

import Synchronization

/// Proof that its holder is counted; must be given back.
public struct ReadPin: ~Copyable {
    fileprivate let parity: Int
    fileprivate init(parity: Int) { self.parity = parity }
}

struct ReaderEpochs: ~Copyable {
    private let epoch = Atomic<UInt64>(2)
    private let even = Atomic<Int>(0)
    private let odd = Atomic<Int>(0)

    @inline(__always)
    func enter() -> ReadPin {
        while true {
            let seen = epoch.load(ordering: .sequentiallyConsistent)
            add(1, parity: Int(seen & 1))
            // The count is only worth something if the epoch did not move between the two.
            if epoch.load(ordering: .sequentiallyConsistent) == seen { return ReadPin(parity: Int(seen & 1)) }
            add(-1, parity: Int(seen & 1))
        }
    }

    @inline(__always)
    func leave(_ pin: consuming ReadPin) { add(-1, parity: pin.parity) }

    @inline(__always)
    private func add(_ value: Int, parity: Int) {
        if parity == 0 { even.wrappingAdd(value, ordering: .sequentiallyConsistent) } else { odd.wrappingAdd(value, ordering: .sequentiallyConsistent) }
    }

    var current: UInt64 { epoch.load(ordering: .sequentiallyConsistent) }

    /// Moves on if the epoch before has no reader left; one thread at a time.
    @discardableResult
    func advance() -> Bool {
        let now = current
        let before = now & 1 == 0 ? odd.load(ordering: .sequentiallyConsistent) : even.load(ordering: .sequentiallyConsistent)
        guard before == 0 else { return false }
        epoch.store(now + 1, ordering: .sequentiallyConsistent)
        return true
    }
}
