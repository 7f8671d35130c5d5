package stagewire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A record as JSON (docs/RECORD_JSON.md): the writing half.

const (
	jsonContentType = "application/json"
	timeLayout      = "2006-01-02T15:04:05.000000Z"
)

// appendJSON writes an output as one line of JSON, without the line break.
func (o *Output) appendJSON(b []byte, port string) []byte {
	w := jsonWriter{bytes: append(b, '{')}
	w.text("port", port)
	switch {
	case len(o.Key) == 0:
	case utf8.Valid(o.Key):
		w.text("key", string(o.Key))
	default:
		w.text("key_base64", base64.StdEncoding.EncodeToString(o.Key))
	}
	switch {
	case len(o.Payload) == 0:
	case isJSONType(o.ContentType) && utf8.Valid(o.Payload) && json.Valid(o.Payload) && !bytes.ContainsAny(o.Payload, "\r\n"):
		w.raw("json", o.Payload)
	case utf8.Valid(o.Payload):
		w.text("text", string(o.Payload))
	default:
		w.text("base64", base64.StdEncoding.EncodeToString(o.Payload))
	}
	w.text("schema", o.Schema)
	if o.SchemaVersion != 0 {
		w.raw("schema_version", strconv.AppendUint(nil, uint64(o.SchemaVersion), 10))
	}
	w.text("content_type", o.ContentType)
	if !o.EventTime.IsZero() && o.EventTime.UnixMicro() != 0 {
		w.raw("event_time", jsonTime(o.EventTime.UnixMicro()))
	}
	if len(o.Attributes) > 0 {
		w.raw("attributes", jsonAttributes(o.Attributes))
	}
	return append(w.bytes, '}')
}

func isJSONType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == jsonContentType || strings.HasSuffix(media, "+json")
}

// jsonWriter writes the members of an object; what has no value is left out.
type jsonWriter struct{ bytes []byte }

func (w *jsonWriter) raw(name string, value []byte) {
	if w.bytes[len(w.bytes)-1] != '{' {
		w.bytes = append(w.bytes, ',', ' ')
	}
	w.bytes = append(append(append(w.bytes, jsonText(name)...), ':', ' '), value...)
}

func (w *jsonWriter) text(name, value string) {
	if value != "" {
		w.raw(name, jsonText(value))
	}
}

func jsonText(text string) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic("stagewire: " + err.Error()) // a string can always be encoded
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// jsonTime is RFC 3339 in UTC, or the number of microseconds outside of the years 1 to 9999.
func jsonTime(microseconds int64) []byte {
	t := time.UnixMicro(microseconds).UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return strconv.AppendInt(nil, microseconds, 10)
	}
	return jsonText(t.Format(timeLayout))
}

// formatMicroseconds is jsonTime for people.
func formatMicroseconds(microseconds int64) string {
	return strings.Trim(string(jsonTime(microseconds)), `"`)
}

func jsonAttributes(attributes []Attribute) []byte {
	w := jsonWriter{bytes: []byte{'{'}}
	isWritten := map[string]bool{}
	for _, a := range attributes {
		if isWritten[a.name] {
			continue // the first one of a name counts
		}
		isWritten[a.name] = true
		switch v := a.Value().(type) {
		case int64:
			w.raw(a.name, strconv.AppendInt(nil, v, 10))
		case float64:
			w.raw(a.name, jsonNumber(v))
		case bool:
			w.raw(a.name, strconv.AppendBool(nil, v))
		case string:
			w.raw(a.name, jsonText(v))
		}
	}
	return append(w.bytes, '}')
}

// jsonNumber keeps a number from being read as an integer.
func jsonNumber(v float64) []byte {
	switch {
	case math.IsNaN(v):
		return []byte(`"NaN"`)
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`)
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`)
	}
	format := byte('f')
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	b := strconv.AppendFloat(nil, v, format, -1, 64)
	if !bytes.ContainsAny(b, ".e") {
		b = append(b, '.', '0')
	}
	return b
}
