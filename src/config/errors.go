package config

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one thing wrong with a configuration.
type Error struct {
	File    string
	Line    int    // from 1; 0: the file as a whole
	Section string // that the line is in: "Path"; empty where Key is, or outside of any
	Name    string // of the path, where it has one
	Key     string // or "[Section]"; empty: the line as a whole
	Value   string // as written; empty when it is missing or must not be shown
	Problem string
	Allowed string // what would be right
}

// Error is one line: "nc0.conf:12: Transport = upd: not a transport; allowed: udp, tcp, ip".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	b.WriteString(": ")
	e.writeWhat(&b)
	return b.String()
}

func (e *Error) writeWhat(b *strings.Builder) {
	if e.Key != "" {
		b.WriteString(e.Key)
		if e.Value != "" {
			b.WriteString(" = " + e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	if e.Allowed != "" {
		b.WriteString("; allowed: " + e.Allowed)
	}
}

// Text is one line for a person who has not written the file, and finds no line in it:
// "[Path] dsl: Transport = upd: not a transport; allowed: udp, tcp, ip".
func (e *Error) Text() string {
	var b strings.Builder
	if e.Section != "" && e.Section != "Interface" && e.Key != "["+e.Section+"]" {
		b.WriteString("[" + e.Section + "] ")
		if e.Name != "" {
			b.WriteString(e.Name + ": ")
		}
	}
	e.writeWhat(&b)
	return b.String()
}

// MarshalJSON is the error for a program, which shows it beside what it is about.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File    string `json:"file"`
		Line    int    `json:"line,omitempty"`
		Section string `json:"section,omitempty"`
		Name    string `json:"name,omitempty"`
		Key     string `json:"key,omitempty"`
		Message string `json:"message"`
		Allowed string `json:"allowed,omitempty"`
		Text    string `json:"text"`
	}{e.File, e.Line, e.Section, e.Name, e.Key, e.Problem, e.Allowed, e.Text()})
}

// Errors is everything wrong with a configuration, in the order of its lines.
type Errors []*Error

// Error has one line for each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single *Error.
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
}

// fault is what is wrong with one value; the parser adds where.
type fault struct{ problem, allowed string }

func (f *fault) Error() string {
	if f.allowed == "" {
		return f.problem
	}
	return f.problem + "; allowed: " + f.allowed
}

// redact hides what may hold a key: 32 bytes in base64, whose "=" at the end
// the parser may have taken for its own. It goes without package regexp, which is
// a twentieth of the daemon.
func redact(s string) string {
	const digits = 43
	var b strings.Builder
	for len(s) > 0 {
		run := len(s) - len(strings.TrimLeft(s, base64Digits))
		switch {
		case run == 0:
			run = strings.IndexAny(s, base64Digits)
			if run < 0 {
				run = len(s)
			}
			b.WriteString(s[:run])
		case run < digits:
			b.WriteString(s[:run])
		default:
			b.WriteString(redacted)
			if strings.HasPrefix(s[run:], "=") {
				run++
			}
		}
		s = s[run:]
	}
	return b.String()
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// quote makes text from a file fit to be printed: short, nothing in it that a
// terminal would act on, and not the key that someone put on a wrong line.
func quote(s string) string {
	s = redact(s)
	const longest = 64
	short := len(s) <= longest
	if short && strings.IndexFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	if short {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:longest]) + "…"
}
