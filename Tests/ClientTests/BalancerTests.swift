import Testing

@testable import Client

struct BalancerTests {
    @Test func callsGoRoundTheReady() {
        var balancer = Balancer(count: 3)
        #expect(balancer.pick() == nil)
        #expect(balancer.due(at: 0) == [0, 1, 2])
        #expect(balancer.due(at: 0) == [])
        balancer.connected(0)
        balancer.connected(2)
        #expect((0..<4).map { _ in balancer.pick() } == [0, 2, 0, 2])
        balancer.lost(2)
        #expect((0..<2).map { _ in balancer.pick() } == [0, 0])
        #expect(balancer.due(at: 0) == [2])
    }

    @Test func pausesGrowAndAreBounded() {
        var balancer = Balancer(count: 1)
        var now: UInt64 = 0
        var last: UInt64 = 0
        for round in 0..<100 {
            #expect(balancer.due(at: now) == [0])
            balancer.failed(0, "no", at: now, spread: 0.5)
            balancer.check()
            let moment = balancer.nextMoment!
            #expect(balancer.due(at: moment - 1) == [])
            let pause = moment - now
            #expect(pause >= last && pause <= ClientLimits.reconnectMillisecondsMax * 1_000_000)
            if round == 0 { #expect(pause == ClientLimits.reconnectMilliseconds * 1_000_000) }
            last = pause
            now = moment
        }
        #expect(balancer.due(at: now) == [0])
        balancer.connected(0)
        balancer.check()
        balancer.lost(0)
        #expect(balancer.due(at: now) == [0])
        balancer.failed(0, "no", at: now, spread: 0.5)
        #expect(balancer.nextMoment == now + ClientLimits.reconnectMilliseconds * 1_000_000)
    }
}
