// A plot as inline SVG: lines over a grid, with a legend, in colours that the page's style sheet chooses.

/// One line.
struct PlotSeries {
    var name: String
    var points: [(x: Double, y: Double)]
}

struct Plot {
    enum Scale { case linear, logarithmic }

    var title: String
    var xLabel: String
    var yLabel: String
    var series: [PlotSeries]
    /// Marks of the x axis where they are no round numbers.
    var xTicks: [(value: Double, label: String)]?
    var yScale = Scale.linear

    private static let width = 860.0
    private static let height = 300.0
    private static let left = 72.0
    private static let right = 30.0
    private static let top = 14.0
    private static let bottom = 44.0
    /// Lines that can be told apart; further ones repeat the colours with dashes.
    static let colours = 8

    var svg: String {
        let all = series.flatMap(\.points)
        guard !all.isEmpty else { return "" }
        let xs = all.map(\.x)
        var (xMin, xMax) = (xs.min()!, xs.max()!)
        if xMax <= xMin { (xMin, xMax) = (xMin - 0.5, xMax + 0.5) }
        if xTicks == nil, xMin > 0, xMin < xMax / 2 { xMin = 0 }
        let ys = all.map(\.y).filter { yScale == .linear || $0 > 0 }
        let yTicks = yScale == .linear ? Plot.linearTicks(0, max(ys.max() ?? 1, 1e-9)) : Plot.logarithmicTicks(ys.min() ?? 1, ys.max() ?? 1)
        let (yMin, yMax) = (yTicks.first!, yTicks.last!)
        func x(_ value: Double) -> Double { Plot.left + (value - xMin) / (xMax - xMin) * (Plot.width - Plot.left - Plot.right) }
        func y(_ value: Double) -> Double {
            let part: Double
            switch yScale {
            case .linear: part = (value - yMin) / (yMax - yMin)
            case .logarithmic:
                part = (Logarithm.of(max(value, yMin)) - Logarithm.of(yMin)) / max(Logarithm.of(yMax) - Logarithm.of(yMin), 1e-9)
            }
            return Plot.height - Plot.bottom - part * (Plot.height - Plot.bottom - Plot.top)
        }
        func n(_ value: Double) -> String { NumberFormat.fixed(value, 1) }
        var svg = "<svg viewBox=\"0 0 \(n(Plot.width)) \(n(Plot.height))\" role=\"img\" aria-label=\"\(HTML.escape(title))\">\n"
        for tick in yTicks {
            svg += "<line class=\"grid\" x1=\"\(n(Plot.left))\" x2=\"\(n(Plot.width - Plot.right))\" y1=\"\(n(y(tick)))\" y2=\"\(n(y(tick)))\"/>"
            svg += "<text x=\"\(n(Plot.left - 8))\" y=\"\(n(y(tick) + 4))\" text-anchor=\"end\">\(Plot.label(tick))</text>\n"
        }
        let marks = xTicks ?? Plot.linearTicks(xMin, xMax).filter { $0 <= xMax }.map { ($0, Plot.label($0)) }
        for (value, label) in marks where value >= xMin && value <= xMax {
            svg += "<line class=\"grid\" x1=\"\(n(x(value)))\" x2=\"\(n(x(value)))\" y1=\"\(n(Plot.top))\" y2=\"\(n(Plot.height - Plot.bottom))\"/>"
            svg += "<text x=\"\(n(x(value)))\" y=\"\(n(Plot.height - Plot.bottom + 17))\" text-anchor=\"middle\">\(HTML.escape(label))</text>\n"
        }
        svg += "<text class=\"axis\" x=\"\(n((Plot.left + Plot.width - Plot.right) / 2))\" y=\"\(n(Plot.height - 6))\" text-anchor=\"middle\">\(HTML.escape(xLabel))</text>"
        let middle = n((Plot.top + Plot.height - Plot.bottom) / 2)
        svg += "<text class=\"axis\" x=\"14\" y=\"\(middle)\" text-anchor=\"middle\" transform=\"rotate(-90 14 \(middle))\">\(HTML.escape(yLabel))</text>\n"
        for (index, line) in series.enumerated() where !line.points.isEmpty {
            let points = line.points.filter { yScale == .linear || $0.y > 0 }
            let dash = index >= Plot.colours ? " stroke-dasharray=\"6 4\"" : ""
            let path = points.map { "\(n(x($0.x))),\(n(y($0.y)))" }.joined(separator: " ")
            svg += "<polyline class=\"line c\(index % Plot.colours)\"\(dash) points=\"\(path)\"><title>\(HTML.escape(line.name))</title></polyline>\n"
            if points.count <= 40 {
                for point in points {
                    svg += "<circle class=\"dot c\(index % Plot.colours)\" cx=\"\(n(x(point.x)))\" cy=\"\(n(y(point.y)))\" r=\"2.6\"><title>\(HTML.escape(line.name)): \(Plot.label(point.y))</title></circle>"
                }
            }
        }
        svg += "</svg>\n"
        if series.count > 1 {
            let items = series.enumerated().map { "<span><i class=\"c\($0.offset % Plot.colours)\"></i>\(HTML.escape($0.element.name))</span>" }
            svg += "<p class=\"legend\">\(items.joined())</p>\n"
        }
        return "<figure><figcaption>\(HTML.escape(title))</figcaption>\n\(svg)</figure>\n"
    }

    /// Round numbers from at most the lowest to at least the highest value.
    static func linearTicks(_ low: Double, _ high: Double) -> [Double] {
        let rough = max(high - low, 1e-12) / 5
        var size = 1.0
        while size > rough { size /= 10 }
        while size * 10 <= rough { size *= 10 }
        let step = [1.0, 2, 5, 10].map { $0 * size }.first { $0 >= rough } ?? size * 10
        let first = (low / step).rounded(.down)
        let last = (high / step).rounded(.up)
        return stride(from: first, through: max(last, first + 1), by: 1).map { $0 * step }
    }

    static func logarithmicTicks(_ low: Double, _ high: Double) -> [Double] {
        var ticks: [Double] = []
        var size = 1e-9
        while size * 10 <= low { size *= 10 }
        let few = high / max(low, 1e-12) < 1_000
        while true {
            for step in few ? [1.0, 2, 5] : [1.0] {
                let tick = step * size
                let next = few ? (step == 5 ? 2.0 : 2.5) : 10
                if tick * next > low { ticks.append(tick) }
                if tick >= high, ticks.count > 1 { return ticks }
            }
            size *= 10
        }
    }

    static func label(_ value: Double) -> String {
        let magnitude = value.magnitude
        if magnitude >= 10_000 { return NumberFormat.count(value) }
        if magnitude == 0 { return "0" }
        // Rounding of steps leaves tails of nines.
        let digits = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : magnitude >= 0.1 ? 3 : 5
        var text = NumberFormat.fixed(value, digits)
        if text.contains(".") {
            while text.last == "0" { text.removeLast() }
            if text.last == "." { text.removeLast() }
        }
        return text
    }
}
