// traceparent, sampling, and the names of Kubernetes' resources.

import SpanExport
import Testing

@testable import Datastore

@Suite struct TraceContextTests {
    private func parse(_ text: String) -> TraceParent? { Array(text.utf8).withUnsafeBytes { TraceParent($0) } }

    @Test func aParentIsReadAsTheSpecificationHasIt() {
        let parent = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        #expect(parent?.traceHigh == 0x0af7_6519_16cd_43dd && parent?.traceLow == 0x8448_eb21_1c80_319c)
        #expect(parent?.span == 0xb7ad_6b71_6920_3331 && parent?.isSampled == true)
        #expect(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")?.isSampled == false)
        #expect(parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds")?.isSampled == true)
        for bad in [
            "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        ] {
            #expect(parse(bad) == nil, "\(bad)")
        }
    }

    @Test func rootsAreSampledAtTheirRateAndChildrenAsTheirParents() {
        var state: UInt64 = 42
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
        }
        func share(_ perMillion: Int64) -> Int {
            let sampler = TraceSampler(perMillion: perMillion)
            return (0..<100_000).reduce(0) { count, _ in count + (sampler.sample(parent: nil, random: random) == nil ? 0 : 1) }
        }
        #expect(share(0) == 0 && share(1_000_000) == 100_000)
        #expect((9_000...11_000).contains(share(100_000)))
        let never = TraceSampler(perMillion: 0)
        let parent = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        let context = never.sample(parent: parent, random: random)
        #expect(context?.traceIDText == "0af7651916cd43dd8448eb211c80319c" && context?.parent == parent?.span && context?.span != 0)
        let unsampled = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
        #expect(TraceSampler(perMillion: 1_000_000).sample(parent: unsampled, random: random) == nil)
    }

    @Test func keysTellTheirResource() {
        func name(_ key: String) -> String? { KubernetesResource.name(ofKey: Array(key.utf8)) }
        #expect(name("/registry/pods/default/a") == "pods")
        #expect(name("/registry/pods") == "pods" && name("/registry/pods/") == "pods")
        #expect(name("/registry/apps.example.com/widgets/default/a") == "widgets.apps.example.com")
        #expect(name("/registry/services/specs/default/a") == "services/specs")
        #expect(name("/registry/services/endpoints/default/a") == "services/endpoints")
        #expect(name("/registry/") == nil && name("/other/pods/a") == nil && name("") == nil)
        #expect(KubernetesResource.name(ofKey: Array("/registry/".utf8) + [0xff, 0x2f]) == nil)
    }

    @Test func prefixesAreRecognized() {
        #expect(AuditLog.isPrefix(Array("/a/".utf8), Array("/a0".utf8)))
        #expect(AuditLog.isPrefix([0x61, 0xff], [0x62]))
        #expect(!AuditLog.isPrefix([0xff], [0]) && !AuditLog.isPrefix(Array("a".utf8), Array("c".utf8)))
    }

    @Test func momentsOfARoundAreFoundWhileTheyAreKept() {
        var rounds = RoundMoments()
        let first = rounds.began(at: 10)
        let second = rounds.began(at: 20)
        rounds.wrote(appended: 30, fsynced: 40)
        let third = rounds.began(at: 50)
        let moments = rounds.moments(first, committed: 60, applied: 70)
        #expect(moments.proposed == 10 && moments.appended == 30 && moments.fsynced == 40 && moments.committed == 60 && moments.applied == 70)
        #expect(rounds.moments(second, committed: 1, applied: 1).proposed == 20)
        #expect(rounds.moments(third, committed: 1, applied: 1).appended == 0)
        for now in 0..<300 { _ = rounds.began(at: UInt64(100 + now)) }
        #expect(rounds.moments(first, committed: 1, applied: 1).proposed == 0)
        rounds.wrote(appended: 500, fsynced: 600)
    }
}
