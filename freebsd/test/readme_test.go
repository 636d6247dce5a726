package freebsd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a person on FreeBSD is told to type, typed on a host with what the package
// installs: pkg-message's and README.md's lines, those in the text among them.
func TestTypedAsTold(t *testing.T) {
	t.Parallel()
	readme := section(t, "../../README.md", "### On FreeBSD\n", "\n### ")
	for name, doc := range map[string]struct {
		text string
		want []string // of its commands, those that must be among them
	}{
		"README.md":   {readme, []string{"service netcombiner start", "service netcombiner restart nc0", "sysrc netcombiner_interfaces+=nc0", "service pf start"}},
		"pkg-message": {section(t, port+"pkg-message", "{ type: install", "{ type: upgrade"), []string{"service netcombiner start", "sysrc netcombiner_enable=YES netcombiner_interfaces+=nc0"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, shells[0])
			h.conf()
			commands := commandsOf(doc.text)
			for _, line := range doc.want {
				if !slices.Contains(commands, line) {
					t.Errorf("it does not say %q", line)
				}
			}
			for _, line := range commands {
				if out, err := h.types(line); err != nil {
					t.Errorf("%s: %v\n%s", line, err, out)
				}
			}
			if got := h.read("etc/rc.conf"); !strings.Contains(got, "netcombiner_enable=\"YES\"\n") || !strings.Contains(got, "netcombiner_interfaces=\"nc0\"\n") {
				t.Errorf("rc.conf is then\n%s", got)
			}
		})
	}
}

// section is a part of a file.
func section(t *testing.T, file, from, to string) string {
	t.Helper()
	_, after, ok := strings.Cut(read(t, file), from)
	text, _, more := strings.Cut(after, to)
	if !ok || !more {
		t.Fatalf("%s has no part from %q to %q", file, from, to)
	}
	return text
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	typed  = regexp.MustCompile(`(?m)^(?:    |\t)(\S.*)$`)
	quoted = regexp.MustCompile("[`\"]([^`\"\n]+)[`\"]")
)

// commandsOf finds the commands of FreeBSD's in a text, in their order.
func commandsOf(text string) (commands []string) {
	lines := typed.FindAllStringSubmatch(text, -1)
	for _, found := range append(lines, quoted.FindAllStringSubmatch(text, -1)...) {
		line, _, _ := strings.Cut(found[1], " #")
		line = strings.TrimSpace(line)
		if program, _, more := strings.Cut(line, " "); more && (program == "service" || program == "sysrc") && !slices.Contains(commands, line) {
			commands = append(commands, line)
		}
	}
	return commands
}

// types runs a line in which service(8) and sysrc(8) are the doubles'.
func (h host) types(line string) (string, error) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+h.path("bin")+":"+os.Getenv("PATH"), "SHELL="+h.shell)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Each example for pf calls our anchors where pf(5) and our rules want it, and so does
// what people are told to write.
func TestPFExamples(t *testing.T) {
	examples, err := filepath.Glob("../pf/pf.conf.*")
	if err != nil || len(examples) < 3 {
		t.Fatalf("%v, %q", err, examples)
	}
	for _, file := range examples {
		text := read(t, file)
		at := func(pattern string) int {
			if found := regexp.MustCompile(`(?m)^` + pattern).FindStringIndex(text); found != nil {
				return found[0]
			}
			return len(text)
		}
		order := []int{at("set "), at(`nat-anchor "netcombiner/\*"$`), at("(nat|rdr|binat) "), at(`anchor "netcombiner/\*"$`), at("(block|pass|match) ")}
		if order[2] == len(text) { // none of its own
			order = slices.Delete(order, 2, 3)
		}
		if !slices.IsSorted(order) || slices.Contains(order, len(text)) {
			t.Errorf("%s: options, nat-anchor, nat, anchor and rules stand at %v of %d", file, order, len(text))
		}
		if !strings.Contains(text, "\nset reassemble yes\n") || strings.Contains(text, "set skip on nc") {
			t.Errorf("%s: portal mode needs fragments put together, and no tunnel skipped", file)
		}
	}
	for _, file := range []string{"../../README.md", port + "pkg-message"} {
		if text := read(t, file); !regexp.MustCompile(`(?m)^\s+nat-anchor "netcombiner/\*".*\n\s+anchor "netcombiner/\*"`).MatchString(text) {
			t.Errorf("%s does not say the two lines of pf.conf", file)
		}
	}
}
