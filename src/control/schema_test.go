package control

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// schema is a part of doc/show.schema.json.
type schema struct {
	Type       string
	Ref        string `json:"$ref"`
	Enum       []string
	Items      *schema
	Properties map[string]*schema
	Required   []string
	Defs       map[string]*schema `json:"$defs"`
}

// The schema has exactly what Status has: no field more or less, each of its
// type, and asks for those that are always there. Whether real output is valid
// is tested in src/exporter, where a validator is at hand.
func TestTheSchemaIsTheStatus(t *testing.T) {
	text, err := os.ReadFile("../../doc/show.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	compared := map[string]bool{}
	var compare func(at string, s *schema, of reflect.Type)
	compare = func(at string, s *schema, of reflect.Type) {
		if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
			compared[name] = true
			if s = root.Defs[name]; s == nil {
				t.Fatalf("%s: no %s", at, name)
			}
		}
		switch of.Kind() {
		case reflect.Pointer:
			compare(at, s, of.Elem())
		case reflect.Slice:
			if s.Type != "array" {
				t.Errorf("%s is no array but %q", at, s.Type)
				return
			}
			compare(at, s.Items, of.Elem())
		case reflect.Struct:
			var required, all []string
			for i := range of.NumField() {
				name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
				all = append(all, name)
				if options != "omitempty" {
					required = append(required, name)
				}
				if s.Properties[name] == nil {
					t.Errorf("%s has no %s", at, name)
					continue
				}
				compare(at+"."+name, s.Properties[name], of.Field(i).Type)
			}
			slices.Sort(all)
			if have := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(have, all) {
				t.Errorf("%s has %q, want %q", at, have, all)
			}
			if !slices.Equal(s.Required, required) {
				t.Errorf("%s asks for %q, want %q", at, s.Required, required)
			}
		default:
			want := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Uint64: "integer", reflect.Float64: "number"}[of.Kind()]
			if s.Type != want {
				t.Errorf("%s is %q, want %q", at, s.Type, want)
			}
		}
	}
	compare("status", &schema{Ref: "#/$defs/status"}, reflect.TypeFor[Status]())
	for name := range root.Defs {
		if !compared[name] {
			t.Errorf("nothing is a %s", name)
		}
	}
	if got := root.Defs["path"].Properties["state"].Enum; !slices.Equal(got, PathStates) {
		t.Errorf("the states of a path are %q, want %q", got, PathStates)
	}
}
