import Glibc

/// Two file actions of glibc 2.34 and later that its headers show only under `_GNU_SOURCE`, which the
/// Swift overlay does not define. They are looked up by name once; the invariant of the two casts is
/// that the signatures below are those of `<spawn.h>`, which are part of glibc's stable ABI.
enum SpawnExtensions {
    private typealias AddChangeDirectory =
        @convention(c) (
            UnsafeMutablePointer<posix_spawn_file_actions_t>, UnsafePointer<CChar>
        ) -> Int32
    private typealias AddCloseFrom =
        @convention(c) (
            UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32
        ) -> Int32

    private static let changeDirectory = unsafeBitCast(
        find("posix_spawn_file_actions_addchdir_np"), to: AddChangeDirectory.self)
    private static let closeFrom = unsafeBitCast(
        find("posix_spawn_file_actions_addclosefrom_np"), to: AddCloseFrom.self)

    static func addChangeDirectory(_ actions: inout posix_spawn_file_actions_t, _ directory: String) {
        let status = changeDirectory(&actions, directory)
        precondition(status == 0, "out of memory")
    }

    static func addCloseFrom(_ actions: inout posix_spawn_file_actions_t, _ first: Int32) {
        let status = closeFrom(&actions, first)
        precondition(status == 0, "out of memory")
    }

    private static func find(_ name: String) -> UnsafeMutableRawPointer {
        guard let symbol = dlsym(nil, name) else {
            preconditionFailure("Stagewire needs glibc 2.34 or later (\(name) is missing)")
        }
        return symbol
    }
}
