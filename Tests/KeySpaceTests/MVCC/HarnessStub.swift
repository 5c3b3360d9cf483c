import Storage
@testable import KeySpace
extension StoreHarness { static func make() -> MVCCStore { MVCCStore(log: RevisionLog(), options: MVCCOptions(), restored: RestoredState()) } }
