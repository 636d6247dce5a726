package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"
)

// MaxSize is the longest configuration that is read, in bytes.
const MaxSize = 256 << 10

// Stdin is the name of a configuration that comes from standard input.
const Stdin = "-"

// Load reads and validates the file at path. Its error is an Errors when the
// content is wrong, else what kept the file from being read.
func Load(path string) (*Config, error) {
	text, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, bytes.NewReader(text))
}

// ReadFile returns what stands in the file at path, at most MaxSize bytes.
func ReadFile(path string) ([]byte, error) {
	return readRegular(path, MaxSize)
}

// Parse reads and validates a configuration. name stands in the errors, and a
// relative KeyFile is found from its folder. The error is an Errors with
// everything that is wrong, unless reading r failed.
func Parse(name string, r io.Reader) (*Config, error) {
	return ParseFor(runtime.GOOS, name, r)
}

// ParseFor is Parse for a host of another system, named as runtime.GOOS names it: some
// keys mean something on FreeBSD alone.
func ParseFor(system, name string, r io.Reader) (*Config, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return parseFor(system, name, text, func(path string) ([]byte, error) { return readRegular(path, 4<<10) })
}

// parser collects what is wrong while it reads on.
type parser struct {
	system   string // as runtime.GOOS has it
	name     string
	readFile func(path string) ([]byte, error)
	errs     Errors
}

// section is a [Section] with its lines.
type section struct {
	name    string // as written
	line    int
	entries []entry
	down    bool // of a path: see Edit
}

// entry is a "Key = Value" line.
type entry struct {
	key, value string
	line       int
}

func parseFor(system, name string, text []byte, readFile func(path string) ([]byte, error)) (*Config, error) {
	p := &parser{system: system, name: name, readFile: readFile}
	var c *Config
	if sections, ok := p.scan(text); ok {
		c = p.build(sections)
		c.source = source{p.system, p.name, sections}
		p.errs.sort()
		p.locate(sections)
	}
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return c, nil
}

func (p *parser) fail(line int, key, value string, err error) {
	e := &Error{File: p.name, Line: line, Key: key, Value: quote(value)}
	if f, ok := errors.AsType[*fault](err); ok {
		e.Problem, e.Allowed = f.problem, f.allowed
	} else {
		e.Problem = err.Error()
	}
	p.errs = append(p.errs, e)
}

// locate tells of each error about a key which section the key is in. Both are in
// order of their lines: a file of nothing but errors is read through once.
func (p *parser) locate(sections []section) {
	var title, name string
	for _, e := range p.errs {
		for ; len(sections) > 0 && sections[0].line <= e.Line; sections = sections[1:] {
			if s := sections[0]; s.line > 0 {
				title, name = s.title(), s.pathName()
			}
		}
		if e.Key != "" {
			e.Section, e.Name = title, name
		}
	}
}

// pathName is that of a path which has one.
func (s *section) pathName() string {
	if i := s.find("Name"); i >= 0 && s.is("Path") {
		return quote(s.entries[i].value)
	}
	return ""
}

// title is the section's name as the manual writes it.
func (s *section) title() string {
	for _, known := range []string{"Interface", "Path", "Listen", "Bypass"} {
		if s.is(known) {
			return known
		}
	}
	return quote(s.name)
}

// scan cuts text into sections, or says that it is no text at all. No line is
// ever quoted in an error here: a mistyped one may hold the key.
func (p *parser) scan(text []byte) (sections []section, ok bool) {
	switch {
	case len(text) > MaxSize:
		p.fail(0, "", "", &fault{"too long for a configuration", fmt.Sprintf("at most %d bytes", MaxSize)})
		return nil, false
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		p.fail(1, "", "", &fault{"written as UTF-16", "UTF-8"})
		return nil, false
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))

	open := false // a section, known or not, has begun
	for i, line := range strings.Split(string(text), "\n") {
		n := i + 1
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "":
		case !utf8.ValidString(line) || strings.ContainsFunc(line, isControl):
			p.fail(n, "", "", &fault{"not text: control characters or broken UTF-8", "Key = Value, [Section], # comment"})
		case line[0] == '[':
			open = true
			name, closed := strings.CutSuffix(line[1:], "]")
			if !closed {
				p.fail(n, "", "", &fault{"a section without its closing bracket", "[Interface], [Path], [Listen], [Bypass]"})
				sections = append(sections, section{})
				continue
			}
			sections = append(sections, section{name: strings.TrimSpace(name), line: n})
		case !assigned:
			p.fail(n, "", "", &fault{"neither a key nor a section", "Key = Value, [Section], # comment"})
		case !open:
			p.fail(n, "", "", &fault{"stands before the first section", "[Interface], [Path], [Listen], [Bypass] above it"})
		default:
			s := &sections[len(sections)-1]
			s.entries = append(s.entries, entry{strings.TrimSpace(key), strings.TrimSpace(value), n})
		}
	}
	return sections, true
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// readRegular reads a file of at most limit bytes, and nothing that is not
// one: a FIFO would make us wait for ever.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, readError(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, readError(path, err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s: longer than %d bytes", path, limit)
	}
	return text, nil
}

// readError says "FILE: reason" where the os package says "open FILE: reason".
func readError(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w: run it as root", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// loadKey fills i.Key from i.KeyFile.
func (p *parser) loadKey(i *Interface, line int) {
	if _, err := ParseKey(i.KeyFile); err == nil {
		p.fail(line, "KeyFile", "", &fault{"a key, not a file", "the path of a file; a key itself goes into Key"})
		return
	}
	path := i.KeyFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(p.name), path)
	}
	text, err := p.readFile(path)
	if err != nil {
		p.fail(line, "KeyFile", "", err)
		return
	}
	if i.Key, err = ParseKey(strings.TrimSpace(string(text))); err != nil {
		p.fail(line, "KeyFile", i.KeyFile, err)
	}
	i.KeyFile = path
}
