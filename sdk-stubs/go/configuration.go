package stagewire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// decodeConfig puts the stage's configuration into `target`. Its error is a sentence that names the field.
func decodeConfig(document []byte, target any) error {
	if target == nil {
		return nil
	}
	if len(bytes.TrimSpace(document)) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(document))
		decoder.DisallowUnknownFields() // a misspelt name must not vanish
		err := decoder.Decode(target)
		if err == nil && decoder.Decode(&struct{}{}) != io.EOF {
			err = errors.New("there is more than one JSON value")
		}
		if err != nil {
			return configError(err, target)
		}
	}
	if validating, ok := target.(interface{ Validate() error }); ok {
		if err := validating.Validate(); err != nil {
			return fmt.Errorf("config: %w", err)
		}
	}
	return nil
}

// configError puts what encoding/json says into the words of a pipeline's author.
func configError(err error, target any) error {
	const unknownPrefix = "json: unknown field "
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		path := "config"
		if wrongType.Field != "" {
			for _, name := range strings.Split(wrongType.Field, ".") {
				path += "." + lowerFirst(name)
			}
		}
		return fmt.Errorf("%s: expected %s, got %s", path, jsonKind(wrongType.Type), wrongType.Value)
	case strings.HasPrefix(err.Error(), unknownPrefix):
		return fmt.Errorf("config.%s: not known to this stage; it knows %s",
			strings.Trim(strings.TrimPrefix(err.Error(), unknownPrefix), `"`), strings.Join(fieldNames(target), ", "))
	}
	return fmt.Errorf("config: %w", err)
}

// jsonKind names a Go type as the author of a pipeline file sees it.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	}
	return "a value for " + t.String()
}

// fieldNames are the names that a struct is decoded from, on its first level.
func fieldNames(target any) (names []string) {
	t := reflect.TypeOf(target)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-":
		case name != "":
			names = append(names, name)
		default:
			names = append(names, lowerFirst(field.Name))
		}
	}
	return names
}

// lowerFirst is a field's name as pipeline files have it; encoding/json takes either.
func lowerFirst(name string) string {
	if name == "" {
		return name
	}
	return strings.ToLower(name[:1]) + name[1:]
}
