package dev.stagewire;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads RFC 8259, and nothing beside it, from a text; knows where in it everything stands. */
final class JsonParser {
    private static final int DEPTH = 512;
    private final String text;
    private int at;
    private int depth;

    JsonParser(String text) {
        this.text = text;
    }

    /** The whole text as one value. */
    Object whole() {
        Object value = value();
        end();
        return value;
    }

    void end() {
        space();
        if (at < text.length()) {
            throw wrong("something behind the value");
        }
    }

    int position() {
        return at;
    }

    Object value() {
        space();
        char first = at < text.length() ? text.charAt(at) : 0;
        return switch (first) {
            case '{' -> object();
            case '[' -> array();
            case '"' -> string();
            case 't' -> word("true", Boolean.TRUE);
            case 'f' -> word("false", Boolean.FALSE);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    /** Whether the next character is this one, which is passed over then. */
    boolean take(char expected) {
        space();
        if (at < text.length() && text.charAt(at) == expected) {
            at++;
            return true;
        }
        return false;
    }

    void expect(char expected) {
        if (!take(expected)) {
            throw wrong("expected '" + expected + "'");
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> result = new LinkedHashMap<>();
        enter();
        expect('{');
        if (!take('}')) {
            do {
                space();
                String name = string();
                expect(':');
                result.put(name, value());
            } while (take(','));
            expect('}');
        }
        depth--;
        return result;
    }

    private List<Object> array() {
        List<Object> result = new ArrayList<>();
        enter();
        expect('[');
        if (!take(']')) {
            do {
                result.add(value());
            } while (take(','));
            expect(']');
        }
        depth--;
        return result;
    }

    private void enter() {
        if (++depth > DEPTH) {
            throw wrong("more than " + DEPTH + " levels");
        }
    }

    String string() {
        if (at >= text.length() || text.charAt(at) != '"') {
            throw wrong(at >= text.length() ? "it ends too early" : "expected a string");
        }
        int start = ++at;
        StringBuilder unescaped = null;
        while (true) {
            char each = at < text.length() ? text.charAt(at) : 0;
            if (each == '"') {
                String plain = text.substring(start, at++);
                return unescaped == null ? plain : unescaped.append(plain).toString();
            }
            if (each < ' ') {
                throw wrong(at >= text.length() ? "a string without an end" : "a control character in a string");
            }
            if (each == '\\') {
                unescaped = unescaped == null ? new StringBuilder() : unescaped;
                unescaped.append(text, start, at++).append(escape());
                start = at;
            } else {
                at++;
            }
        }
    }

    private char escape() {
        char each = at < text.length() ? text.charAt(at++) : 0;
        switch (each) {
            case '"', '\\', '/':
                return each;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                int unit = 0;
                for (int i = 0; i < 4; i++) {
                    int digit = at < text.length() ? Character.digit(text.charAt(at), 16) : -1;
                    if (digit < 0 || text.charAt(at++) > 'f') {
                        throw wrong("an escape of other than four hexadecimal digits");
                    }
                    unit = unit << 4 | digit;
                }
                return (char) unit;
            default:
                throw wrong("an unknown escape");
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong("expected a value");
        }
        at += word.length();
        return value;
    }

    private Number number() {
        int start = at;
        if (at < text.length() && text.charAt(at) == '-') {
            at++;
        }
        int first = at;
        int digits = digits();
        if (digits == 0 || digits > 1 && text.charAt(first) == '0') {
            at = start;
            throw wrong(at >= text.length() ? "it ends too early" : "expected a value");
        }
        boolean whole = true;
        if (at < text.length() && text.charAt(at) == '.') {
            at++;
            whole = false;
            if (digits() == 0) {
                throw wrong("a number that ends in a point");
            }
        }
        if (at < text.length() && (text.charAt(at) | 0x20) == 'e') {
            at++;
            whole = false;
            if (at < text.length() && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                at++;
            }
            if (digits() == 0) {
                throw wrong("a number without its exponent");
            }
        }
        String number = text.substring(start, at);
        if (!whole) {
            return Double.valueOf(number);
        }
        return digits <= 18 ? (Number) Long.valueOf(number) : large(new BigInteger(number));
    }

    private static Number large(BigInteger number) {
        return number.bitLength() < 64 ? (Number) number.longValue() : number;
    }

    private int digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        return at - start;
    }

    private void space() {
        while (at < text.length() && isSpace(text.charAt(at))) {
            at++;
        }
    }

    static boolean isSpace(char each) {
        return each == ' ' || each == '\t' || each == '\n' || each == '\r';
    }

    Json.Invalid wrong(String what) {
        return new Json.Invalid("not JSON: " + what + " at character " + (at + 1));
    }

    /** `text`, which is JSON, without the white space around its tokens. */
    static String compact(String text) {
        StringBuilder result = new StringBuilder(text.length());
        boolean inString = false;
        for (int i = 0; i < text.length(); i++) {
            char each = text.charAt(i);
            if (inString || !isSpace(each)) {
                result.append(each);
            }
            if (each == '"') {
                inString = !inString;
            } else if (each == '\\' && inString) {
                result.append(text.charAt(++i));
            }
        }
        return result.toString();
    }
}
