// Values from several tasks to one, one at a time: who sends waits until the one before was taken.

actor Channel<Value: Sendable> {
    private var slot: Value?
    private var receiver: CheckedContinuation<Value, Never>?
    private var senders: [CheckedContinuation<Void, Never>] = []

    func send(_ value: Value) async {
        while slot != nil { await withCheckedContinuation { senders.append($0) } }
        if let receiver {
            self.receiver = nil
            receiver.resume(returning: value)
        } else {
            slot = value
        }
    }

    func next() async -> Value {
        if let value = slot {
            slot = nil
            if !senders.isEmpty { senders.removeFirst().resume() }
            return value
        }
        return await withCheckedContinuation { receiver = $0 }
    }
}
