package control

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzRequest: whatever a client sends, the answer is one line of JSON that is not
// longer than a request may be, and a change that reaches the daemon is bounded.
func FuzzRequest(f *testing.F) {
	for _, line := range []string{`{"command":"status"}`, `{"command":"set","path":"lte","settings":[{"key":"metric","value":"1"}]}`,
		`{"command":"reload","path":"x"}`, `{"command":"remove","path":"x","settings":[]}`, `{"command":"add","colour":1}`, `{}{}`, `[`, `{"command":3}`, "{\"command\":\"\xff\"}"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		d := &daemon{}
		text := answer(line, d)
		var r Response
		if err := json.Unmarshal(text, &r); err != nil || bytes.Count(text, []byte("\n")) != 1 || len(text) > MaxLine || r.OK == (r.Error != "") {
			t.Errorf("%q is answered %q: %v", line, text, err)
		}
		for _, q := range d.changes {
			if len(q.Settings) > maxSettings || q.Command == "reload" && (q.Path != "" || q.Settings != nil) {
				t.Errorf("%q reached the daemon as %+v", line, q)
			}
		}
	})
}
