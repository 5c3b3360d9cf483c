// Sizes for humans.

import Testing

@testable import DatastoreTracing

@Test(arguments: [
    (0, "0 B"), (9, "9 B"), (10, "10 B"), (999, "999 B"), (1_000, "1.0 kB"), (24_576, "25 kB"), (9_949, "9.9 kB"),
    (9_950, "10 kB"), (10_485_760, "10 MB"), (2_147_483_648, "2.1 GB"), (9_589_934_592, "9.6 GB"),
    (999_999, "1000 kB"), (18_446_744_073_709_551_615, "18 EB"),
] as [(UInt64, String)])
func sizesHaveDecimalUnits(bytes: UInt64, text: String) {
    #expect(humanBytes(bytes) == text)
}
