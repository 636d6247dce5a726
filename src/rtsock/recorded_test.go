package rtsock

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is found into the golden files")

// inWords says all that a message tells.
func inWords(m Message) string {
	words := []string{m.Kind.String()}
	add := func(when bool, format string, a ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, a...))
		}
	}
	add(true, "%d", m.Index)
	add(m.Device != "", "%s", m.Device)
	add(m.Up, "up")
	add(m.Loopback, "loopback")
	add(m.PointToPoint, "point-to-point")
	add(m.Addr.IsValid(), "%v", m.Addr)
	add(m.Peer.IsValid(), "peer %v", m.Peer)
	add(m.Route.Prefix.IsValid(), "%v", m.Route)
	add(m.Route.Source.IsValid(), "from %v", m.Route.Source)
	for _, f := range []struct {
		flag Flags
		word string
	}{
		{Host, "host"}, {Gateway, "gateway"}, {Reject, "reject"}, {Blackhole, "blackhole"}, {Static, "static"},
		{Proto1, "proto1"}, {Pinned, "pinned"}, {Local, "local"},
	} {
		add(m.Route.Flags&f.flag != 0, "%s", f.word)
	}
	return strings.Join(words, " ")
}

// recordings are the lines of testdata/*.txt by file. One is "what: hex", or a
// word about what happens then.
func recordings(t testing.TB) map[string][]string {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no recordings")
	}
	lines := map[string][]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines[file] = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	return lines
}

// bytesOf is what a line of a recording holds.
func bytesOf(t testing.TB, line string) (what string, message []byte, ok bool) {
	t.Helper()
	what, data, ok := strings.Cut(line, ": ")
	if !ok || strings.HasPrefix(line, "#") {
		return line, nil, false
	}
	message, err := hex.DecodeString(data)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return what, message, true
}

// What a real kernel said is read as what happened to it then.
func TestRecorded(t *testing.T) {
	for file, lines := range recordings(t) {
		var got []string
		for _, line := range lines {
			what, message, ok := bytesOf(t, line)
			got = append(got, what)
			if !ok {
				continue
			}
			for _, m := range read(t, message) {
				got = append(got, "    "+inWords(m))
			}
		}
		golden := strings.TrimSuffix(file, ".txt") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), got); diff != "" {
			t.Errorf("%s: %s", golden, diff)
		}
	}
}
