// A program that decodes entries for dump-logs: a line of hexadecimal in, a line of text out.

import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// One process for the whole run. Its errors are kept in a file without a name and shown at the end.
final class StreamDecoder {
    private var process: pid_t = 0
    private let input: Int32
    private let output: Int32
    private let errors: UnsafeMutablePointer<FILE>
    private let buffer = ByteSink(capacity: 64 << 10)

    /// - Parameter command: words separated by blanks.
    init(_ command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        guard !words.isEmpty else { throw CommandFailure("--stream-decoder names no program") }
        guard let errors = tmpfile() else { throw CommandFailure("cannot make a temporary file: \(systemText(errno))") }
        self.errors = errors
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw CommandFailure("cannot make a pipe: \(systemText(errno))") }
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, toChild[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        let code = posix_spawnp(&process, words[0], &actions, nil, arguments, environ)
        close(toChild[0])
        close(fromChild[1])
        input = toChild[1]
        output = fromChild[0]
        guard code == 0 else {
            close(input)
            close(output)
            fclose(errors)
            throw CommandFailure("exec: \(GoText.quoted(words[0])): \(systemText(code))")
        }
    }

    /// The decoder's answer to an entry: status and text, the line's end included.
    func decode(_ data: [UInt8]) throws -> (status: String, text: String) {
        let line = ByteSink(capacity: 2 * data.count + 1)
        let digits: StaticString = "0123456789abcdef"
        for byte in data {
            line.append(byte: digits.utf8Start[Int(byte >> 4)])
            line.append(byte: digits.utf8Start[Int(byte & 15)])
        }
        line.append(byte: UInt8(ascii: "\n"))
        var sent = 0
        while sent < line.count {
            let count = write(input, line.base + sent, line.count - sent)
            if count < 0 {
                if errno == EINTR { continue }
                throw CommandFailure("the stream decoder takes no more entries: \(systemText(errno))")
            }
            sent += count
        }
        let answer = String(decoding: try readLine(), as: UTF8.self)
        let parts = answer.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1: return ("decoder output format is not right, print output anyway", answer)
        case 2: return (parts[0], parts[1])
        default:
            return (parts[0] + "(*WARNING: data might contain deliminator used by etcd-dump-logs)", parts.dropFirst().joined())
        }
    }

    private func readLine() throws -> [UInt8] {
        while true {
            if let end = buffer.bytes.firstIndex(of: UInt8(ascii: "\n")) {
                let line = [UInt8](buffer.bytes[...end])
                buffer.removeFirst(end + 1)
                return line
            }
            guard buffer.count < UtilityLimits.decoderLineBytes else { throw CommandFailure("the stream decoder answers with too long a line") }
            var count = 0
            var code: Int32 = 0
            buffer.append(uninitializedCapacity: 64 << 10) {
                count = read(output, $0.baseAddress, $0.count)
                code = errno
                return max(count, 0)
            }
            if count < 0, code == EINTR { continue }
            guard count > 0 else { throw CommandFailure("the stream decoder ended before it answered") }
        }
    }

    /// Waits for its end; what it had to say goes to standard error.
    func finish(_ console: Console) throws {
        close(input)
        close(output)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        rewind(errors)
        var text = [UInt8](repeating: 0, count: UtilityLimits.decoderErrorBytes)
        let count = fread(&text, 1, text.count, errors)
        fclose(errors)
        if count > 0 { console.write("decoder stderr: " + String(decoding: text[..<count], as: UTF8.self), to: .error) }
        guard status == 0 else { throw CommandFailure("the stream decoder failed: exit status \(status >> 8 & 0xff)") }
    }
}
