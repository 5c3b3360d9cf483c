// Damaged values: as much as can be read, and what is wrong with the rest.

import Wire

extension ObjectDecoder {
    /// Appends what can be read of a stored value as one JSON value without a line end.
    ///
    /// - Returns: what is wrong with it, in the order of the bytes; empty if it is whole. If nothing at all could be read,
    ///   nothing is appended. Where a value has very many faults, the last ones are not listed.
    public func appendReadableJSON(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) -> [DecodingError] {
        let mark = sink.count
        do throws(DecodingError) {
            try appendAnyJSON(bytes, to: sink)
            return []
        } catch {
            sink.truncate(to: mark)
            guard bytes.count <= DecoderLimits.valueBytesMax else { return [error] }
            switch StoredForm(bytes) {
            case .protobuf: return appendReadableProtobuf(bytes, error, to: sink)
            case .json: return JSONSalvage.append(bytes, to: sink)
            case .cbor: return CBORText.appendReadable(bytes, to: sink)
            case .encrypted, .other: return [error]
            }
        }
    }

    private func appendReadableProtobuf(_ bytes: UnsafeRawBufferPointer, _ failure: DecodingError, to sink: ByteSink) -> [DecodingError] {
        warnings = Warnings()
        var errors: [DecodingError] = []
        let envelope: Envelope
        do throws(DecodingError) {
            envelope = try Envelope(bytes)
        } catch {
            errors.append(error)
            guard let part = try? Envelope(bytes, isLenient: true), part.typeMeta.count > 0 else { return errors }
            envelope = part
        }
        let base = envelope.raw.baseAddress.map { $0 - bytes.baseAddress! } ?? bytes.count
        let (object, faults) = WireSalvage.salvage(envelope.raw, entry(envelope).plan, base: base, isCut: envelope.isCut)
        // Inside the object it is plainer where a value was cut than in its envelope.
        if envelope.isCut, !faults.isEmpty { errors = [] }
        errors += faults
        if errors.isEmpty { errors.append(failure) }
        let mark = sink.count
        do throws(DecodingError) {
            try object.withUnsafeBytesThrowing { bytes throws(DecodingError) in try append(envelope, object: bytes, base: base, to: sink) }
        } catch {
            sink.truncate(to: mark)
            if !errors.contains(error) { errors.append(error) }
        }
        return errors
    }
}

extension ObjectDecoder {
    /// Where a value was cut whose envelope ends too early; nil if something else is wrong with it.
    func cut(_ bytes: UnsafeRawBufferPointer) -> DecodingError? {
        guard let envelope = try? Envelope(bytes, isLenient: true), envelope.isCut, let start = envelope.raw.baseAddress else { return nil }
        return WireSalvage.salvage(envelope.raw, entry(envelope).plan, base: start - bytes.baseAddress!, isCut: true).errors.first
    }
}

extension [UInt8] {
    func withUnsafeBytesThrowing<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let result: Result<R, E> = withUnsafeBytes { bytes in
            do throws(E) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
