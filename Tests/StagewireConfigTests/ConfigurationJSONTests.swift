import StagewireConfig
import Testing

@Suite struct ConfigurationJSONTests {
    static func json(_ yaml: String) throws -> String {
        let stage = try stages("a: {run: [./a], source: true, config: \(yaml)}")[0]
        return String(decoding: stage.config, as: UTF8.self)
    }

    @Test(arguments: [
        ("{}", "{}"), ("[]", "[]"), ("~", "null"), ("null", "null"), ("true", "true"), ("False", "false"),
        ("yes", "\"yes\""), ("on", "\"on\""), ("1", "1"), ("-1", "-1"), ("+1", "1"), ("0", "0"), ("0x10", "16"),
        ("0o17", "15"), ("1.50", "1.50"), (".5", "0.5"), ("-.5", "-0.5"), ("1.", "1"), ("1e3", "1e3"),
        ("1.5E+3", "1.5e3"), ("2e-7", "2e-7"), ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (
            "0.1000000000000000055511151231257827",
            "0.1000000000000000055511151231257827"
        ),
        ("1_000", "\"1_000\""), ("1.2.3", "\"1.2.3\""), ("0xg", "\"0xg\""), ("0x-1", "\"0x-1\""), ("-", "\"-\""),
        ("2024-01-01", "\"2024-01-01\""), ("'01'", "\"01\""), ("\"a\\\"\\\\\\n\\u0001\"", "\"a\\\"\\\\\\n\\u0001\""),
        ("{z: 1, a: {c: [1, b, ~]}, 1: x}", "{\"z\":1,\"a\":{\"c\":[1,\"b\",null]},\"1\":\"x\"}"),
        ("\"\u{1F600} \u{E9}\"", "\"\u{1F600} \u{E9}\""),
    ])
    func value(_ yaml: String, _ expected: String) throws { #expect(try Self.json(yaml) == expected) }

    @Test func notFiniteAndAmbiguousNumbers() {
        for number in [".nan", ".inf", "-.INF", "+.inf", "1e999", "-1e999", "007", "-01", "00.5"] {
            #expect(throws: ConfigurationErrors.self, "\(number)") { try Self.json(number) }
        }
    }

    @Test func tooLarge() {
        let text = String(repeating: "x", count: 128 * 1024)
        #expect(throws: ConfigurationErrors.self) { try Self.json(text) }
        #expect(throws: Never.self) { try Self.json(String(text.dropLast(2))) }
    }
}
