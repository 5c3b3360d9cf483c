// Messages whose JSON is not an object of their fields, made from it.

import Wire

extension MessageBuilder {
    mutating func fill(_ value: MessageValue, _ node: Int?, _ plan: MessagePlan, _ special: SpecialForm) throws(DecodingError) {
        let first = plan.fields[0]
        switch special {
        case .time, .microtime:
            guard let node else { return }
            guard let (seconds, nanoseconds) = TimeText.parse(try string(node)) else { throw error("expected a time of RFC 3339", node) }
            guard seconds != TimeText.zeroSeconds else { return }
            value.set(first, seconds)
            value.set(plan.fields[1], special == .time ? 0 : nanoseconds / 1000 * 1000)
        case .duration:
            guard let node else { return value.set(first, 0 as Int64) }
            guard let duration = DurationText.parse(String(decoding: try string(node), as: UTF8.self)) else { throw error("expected a duration", node) }
            value.set(first, duration)
        case .intorstring:
            let isString = node.map { document.kind($0) == .string } ?? false
            value.set(first, isString ? 1 : 0 as Int64)
            value.set(plan.fields[1], Int32(truncatingIfNeeded: isString || node == nil ? 0 : try integer(node!, bits: 32)))
            value.set(plan.fields[2], bytes: kept(isString ? try string(node!) : []))
        case .quantity:
            var text = "0"
            if let node {
                let given = document.kind(node) == .string ? document.string(node) : String(decoding: document.bytes(node), as: UTF8.self)
                guard document.kind(node) == .string || document.kind(node) == .number, let canonical = QuantityText.canonical(given) else {
                    throw error("expected a quantity", node)
                }
                text = canonical
            }
            value.set(first, bytes: kept(Array(text.utf8)))
        case .rawjson, .rawext:
            guard let node else { return }
            value.set(first, bytes: document.bytes(node))
        case .items:
            if let node { try fillList(value, first, node) }
        case .schemaorbool:
            let isBool = node.map { document.kind($0) == .bool } ?? false
            value.set(first, node == nil || (isBool && !document.isTrue(node!)) ? 0 : 1 as Int32)
            if let node, !isBool { value.set(plan.fields[1], message: try message(node, plan.fields[1].plan)) }
        case .schemaorarray, .schemaorstrings:
            guard let node else { return }
            if document.kind(node) == .array {
                try fillList(value, plan.fields[1], node)
            } else {
                value.set(first, message: try message(node, first.plan))
            }
        case .unknown:
            value.set(first, message: try message(nil, first.plan))
            if let node { value.set(plan.fields[1], bytes: document.bytes(node)) }
            value.set(plan.fields[2], bytes: kept([]))
            value.set(plan.fields[3], bytes: kept(Array((node == nil ? "" : RawContent.json).utf8)))
        }
    }
}
