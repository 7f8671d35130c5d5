package stagewire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	pb "stagewire.dev/sdk/go/stagewirepb"
)

// A record as JSON (docs/RECORD_JSON.md): the reading half.

// readRecord is what one line says: what an author writes, and what the broker added.
type readRecord struct {
	output  Output
	attempt uint32
	input   string
	lineage *pb.Lineage
	runs    []*pb.Run // of the hops, numbered from 1
}

type fields map[string]json.RawMessage

// parseRecord reads one line. Its error names the field.
func parseRecord(line []byte) (r readRecord, err error) {
	var members fields
	if err = json.Unmarshal(line, &members); err != nil {
		return r, fmt.Errorf("not a JSON object: %w", err)
	}
	r.attempt = 1
	for name, value := range members {
		if err = r.take(name, value); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, group := range [][]string{{"json", "text", "base64"}, {"key", "key_base64"}} {
		if both := members.among(group); len(both) > 1 {
			return r, fmt.Errorf("%s: only one of them", strings.Join(both, ", "))
		}
	}
	if _, isJSON := members["json"]; isJSON && r.output.ContentType == "" {
		r.output.ContentType = jsonContentType
	}
	return r, nil
}

func (f fields) among(names []string) (present []string) {
	for _, name := range names {
		if _, ok := f[name]; ok {
			present = append(present, name)
		}
	}
	return present
}

func (r *readRecord) take(name string, value json.RawMessage) (err error) {
	o := &r.output
	switch name {
	case "json":
		var compact bytes.Buffer
		err = json.Compact(&compact, value)
		o.Payload = compact.Bytes()
	case "text":
		var text string
		err = decodeMember(value, &text)
		o.Payload = []byte(text)
	case "base64":
		o.Payload, err = decodeBase64(value)
	case "key":
		var text string
		err = decodeMember(value, &text)
		o.Key = []byte(text)
	case "key_base64":
		o.Key, err = decodeBase64(value)
	case "schema":
		err = decodeMember(value, &o.Schema)
	case "schema_version":
		err = decodeMember(value, &o.SchemaVersion)
	case "content_type":
		err = decodeMember(value, &o.ContentType)
	case "event_time":
		var at int64
		if at, err = parseTime(value); err == nil && at != 0 {
			o.EventTime = time.UnixMicro(at).UTC()
		}
	case "attributes":
		o.Attributes, err = parseAttributes(value)
	case "port":
		err = decodeMember(value, &o.Port)
	case "attempt":
		err = decodeMember(value, &r.attempt)
	case "input":
		err = decodeMember(value, &r.input)
	case "lineage":
		err = r.takeLineage(value)
	default:
		err = errors.New("a record has no such field")
	}
	return err
}

// decodeMember is json.Unmarshal, with null as an error and an error for people.
func decodeMember(value json.RawMessage, target any) error {
	err := json.Unmarshal(value, target)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("expected %s, got %s", jsonKind(wrong.Type), wrong.Value)
	}
	if err == nil && string(bytes.TrimSpace(value)) == "null" {
		return errors.New("null is no value; leave the field out")
	}
	return err
}

func decodeBase64(value json.RawMessage) ([]byte, error) {
	var text string
	if err := decodeMember(value, &text); err != nil {
		return nil, err
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("not base64 with padding (RFC 4648, section 4)")
	}
	return decoded, nil
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$`)

// parseTime reads RFC 3339 with any offset and up to nine fractional digits, or microseconds.
func parseTime(value json.RawMessage) (int64, error) {
	if len(value) > 0 && value[0] != '"' {
		at, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return 0, errors.New("expected a time (RFC 3339) or an integer of microseconds")
		}
		return at, nil
	}
	var text string
	if err := decodeMember(value, &text); err != nil {
		return 0, err
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	if err != nil || !rfc3339.MatchString(text) || t.UTC().Year() < 1 {
		return 0, fmt.Errorf("%q is no time as in RFC 3339, such as 2026-01-05T10:30:00Z", text)
	}
	return t.UnixMicro(), nil
}

// parseAttributes keeps their order and their kinds.
func parseAttributes(value json.RawMessage) (attributes []Attribute, err error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("expected an object")
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		attribute, err := parseAttribute(name.(string), decoder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		attributes = append(attributes, attribute)
	}
	return attributes, nil
}

func parseAttribute(name string, decoder *json.Decoder) (Attribute, error) {
	value, err := decoder.Token()
	if err != nil {
		return Attribute{}, err
	}
	switch v := value.(type) {
	case string:
		return Text(name, v), nil
	case bool:
		return Flag(name, v), nil
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return Integer(name, whole), nil
		}
		fraction, err := v.Float64()
		if err != nil {
			return Attribute{}, fmt.Errorf("%s is beyond what a number can hold", v)
		}
		return Number(name, fraction), nil
	}
	return Attribute{}, errors.New("an attribute is a text, a number, true or false")
}

// jsonLineage is `lineage`; fields that it does not name are ignored.
type jsonLineage struct {
	ID               string          `json:"id"`
	Root             string          `json:"root"`
	Parents          []string        `json:"parents"`
	ParentsTruncated bool            `json:"parents_truncated"`
	IngestTime       json.RawMessage `json:"ingest_time"`
	Trace            struct {
		Parent string `json:"traceparent"`
		State  string `json:"tracestate"`
	} `json:"trace"`
	Hops []struct {
		Stage    string          `json:"stage"`
		Version  string          `json:"version"`
		Instance string          `json:"instance"`
		Language string          `json:"language"`
		Time     json.RawMessage `json:"time"`
		Attempt  uint32          `json:"attempt"`
	} `json:"hops"`
}

func (r *readRecord) takeLineage(value json.RawMessage) (err error) {
	var read jsonLineage
	if err = decodeMember(value, &read); err != nil {
		return err
	}
	l := &pb.Lineage{ParentsTruncated: read.ParentsTruncated, Trace: &pb.TraceContext{Traceparent: read.Trace.Parent, Tracestate: read.Trace.State}}
	if l.Id, err = parseID("id", read.ID); err != nil {
		return err
	}
	if read.Root != read.ID {
		if l.Root, err = parseID("root", read.Root); err != nil {
			return err
		}
	}
	for _, one := range read.Parents {
		parent, err := parseID("parents", one)
		if err != nil {
			return err
		}
		l.Parents = append(l.Parents, parent)
	}
	begin, err := optionalTime(read.IngestTime)
	if err != nil {
		return fmt.Errorf("ingest_time: %w", err)
	}
	l.IngestTime = uint64(begin)
	for i, hop := range read.Hops {
		at, err := optionalTime(hop.Time)
		if err != nil {
			return fmt.Errorf("hops[%d].time: %w", i, err)
		}
		number := uint32(i + 1)
		l.Hops = append(l.Hops, &pb.Hop{Run: number, Delta: uint64(at - begin), Attempt: hop.Attempt})
		r.runs = append(r.runs, &pb.Run{Number: number, Stage: hop.Stage, Version: hop.Version, Instance: hop.Instance, Language: hop.Language})
	}
	r.lineage = l
	return nil
}

func parseID(name, text string) ([]byte, error) {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != 16 && len(id) != 0 {
		return nil, fmt.Errorf("%s: an id is 32 hexadecimal digits, not %q", name, text)
	}
	return id, nil
}

func optionalTime(value json.RawMessage) (int64, error) {
	if len(value) == 0 {
		return 0, nil
	}
	return parseTime(value)
}
