// Which resource a key belongs to.

import Testing

@testable import KeySpace

private func name(_ key: String, _ names: ResourceNames) -> String {
    let id = Array(key.utf8).withUnsafeBytes { names.resource(of: $0) }
    return names.all[Int(id.rawValue)]
}

@Test(arguments: [
    ("/registry/pods/default/a", "pods"), ("/registry/pods/", "pods"), ("/registry/pods/\u{0}", "pods"),
    ("/registry/services/specs/default/a", "services/specs"), ("/registry/services/endpoints/default/a", "services/endpoints"),
    ("/registry/services/", "services"), ("/registry/example.com/widgets/default/a", "example.com/widgets"),
    ("/registry/example.com/widgets/", "example.com/widgets"), ("/registry/example.com/", "example.com"),
    ("/registry/example.com/widgets", "example.com"), ("/registry/apiextensions.k8s.io/customresourcedefinitions/x", "apiextensions.k8s.io/customresourcedefinitions"),
    // Not below a resource: kube-apiserver's probe, the prefix itself, other keys.
    ("/registry/health", "other"), ("/registry/", "other"), ("/registry", "other"), ("compact_rev_key", "other"), ("", "other"),
    ("/registry//x", "other"), ("/registrypods/x", "other"), ("/registry/a b/x", "other"), ("/registry/\u{e9}/x", "other"),
])
func aKeyNamesItsResource(key: String, resource: String) {
    #expect(name(key, ResourceNames()) == resource)
}

@Test func prefixesAreChosen() {
    let names = ResourceNames(prefixes: ["/k8s", "/registry/"])
    #expect(name("/k8s/pods/a", names) == "pods" && name("/registry/jobs/a", names) == "jobs" && name("/k8spods/a", names) == "other")
    #expect(name("/registry/pods/a", ResourceNames(prefixes: [])) == "other")
}

@Test func namesAreBoundedAndStay() {
    let names = ResourceNames()
    for number in 0..<2 * ResourceNames.countMax { _ = name("/registry/r\(number)/a", names) }
    #expect(names.count == ResourceNames.countMax)
    #expect(name("/registry/r0/a", names) == "r0" && name("/registry/r\(ResourceNames.countMax)/a", names) == "other")
    let long = String(repeating: "a", count: 200)
    #expect(name("/registry/\(long)/a", ResourceNames()) == "other")
    #expect(name("/registry/a.b/\(long)/a", ResourceNames()) == "a.b")
}

@Test func lookingUpAddsNothing() {
    let names = ResourceNames()
    #expect(Array("/registry/pods/a".utf8).withUnsafeBytes { names.known($0) } == .other)
    #expect(names.count == 1)
    let added = Array("/registry/pods/a".utf8).withUnsafeBytes { names.resource(of: $0) }
    #expect(Array("/registry/pods/b".utf8).withUnsafeBytes { names.known($0) } == added)
}

@Test func manyThreadsAgree() async {
    let names = ResourceNames()
    let found = await withTaskGroup(of: [UInt16].self) { group in
        for _ in 0..<4 {
            group.addTask { (0..<500).map { number in Array("/registry/r\(number)/a".utf8).withUnsafeBytes { names.resource(of: $0).rawValue } } }
        }
        return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(found[0]).count == 500)
    for other in found { #expect(other == found[0]) }
}

@Test func sizeClassesCoverAllSizes() {
    var size: Int64 = 1
    while size < 1 << 33 {
        for bytes in [size - 1, size, size + 1] where bytes > 0 {
            let upper = SizeClass.upperBound(SizeClass.of(bytes))
            #expect(bytes <= upper, "\(bytes)")
            if bytes >= 8, bytes < 1 << 31 { #expect(upper <= bytes + bytes / 4, "\(bytes) \(upper)") }
        }
        size += max(1, size / 7)
    }
}
