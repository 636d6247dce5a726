// Package packaging holds what is installed beside the daemon. Its tests hold
// manuals and completions to what the daemon says of itself, and the systemd
// unit to its sandbox. That the packages work is tried by "make package-test".
package packaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netcombiner/src/config"
	"netcombiner/src/control"
)

// program is netcombiner, built for these tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "netcombiner")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "netcombiner")
	status := 1
	if out, err := exec.Command("go", "build", "-o", program, "../src/cmd/netcombiner").CombinedOutput(); err != nil {
		fmt.Printf("%s%v\n", out, err)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// need says that a tool is missing: where tests are made to count, that fails.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands are those that the program's help lists, each with its own help.
func commands(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"": output(t, program, "help")}
	_, list, _ := strings.Cut(all[""], "Other commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.SplitSeq(list, "\n") {
		if name := strings.Fields(line); strings.HasPrefix(line, "  ") && line[2] != ' ' {
			all[name[0]] = output(t, program, "help", name[0])
		}
	}
	if len(all) < 8 {
		t.Fatalf("the help lists only %d commands: does this test still read it right?\n%s", len(all), all[""])
	}
	return all
}

var option = regexp.MustCompile(`(?:^|[\s\[|])(--?[a-z][a-z-]*)`)

// options are those that a command's help explains or names.
func options(help string) (all []string) {
	help, _, _ = strings.Cut(help, "Example:")
	for _, found := range option.FindAllStringSubmatch(help, -1) {
		if !slices.Contains(all, found[1]) {
			all = append(all, found[1])
		}
	}
	return all
}

// The manual tells of every command and every option, and of no other.
func TestManualTellsWhatTheHelpTells(t *testing.T) {
	manual := read(t, "man/netcombiner.8")
	_, body, _ := strings.Cut(manual, ".Sh DESCRIPTION")
	synopsis, _, _ := strings.Cut(manual, ".Sh DESCRIPTION")
	known := map[string]bool{}
	for name, help := range commands(t) {
		known[name] = true
		if name != "" && !regexp.MustCompile(`(?m)^\.Cm `+name+`\b`).MatchString(synopsis) {
			t.Errorf("the synopsis has no %q", name)
		}
		if name != "" && !regexp.MustCompile(`(?m)^\.It Cm (.* )?`+name+`\b`).MatchString(body) {
			t.Errorf("the description has no %q", name)
		}
		for _, o := range options(help) {
			known[o] = true
			macro := "Fl " + strings.Replace(o[1:], "-", "Fl ", 1) // -f: Fl f; --tcp-port: Fl Fl tcp-port
			if !strings.HasPrefix(o, "--") {
				macro = "Fl " + o[1:]
			}
			if !regexp.MustCompile(regexp.QuoteMeta(macro) + `(\s|$)`).MatchString(manual) {
				t.Errorf("%s %s is not in the manual", name, o)
			}
		}
	}
	for _, found := range regexp.MustCompile(`(?m)^\.Nm\n\.Cm ([a-z]+)`).FindAllStringSubmatch(synopsis, -1) {
		if !known[found[1]] {
			t.Errorf("the manual tells of a command %q", found[1])
		}
	}
	for _, found := range regexp.MustCompile(`Fl Fl ([a-z-]+)`).FindAllStringSubmatch(manual, -1) {
		if !known["--"+found[1]] {
			t.Errorf("the manual tells of an option --%s", found[1])
		}
	}
}

// The exporter is a module of its own; its manual is held to its help, too.
func TestExportersManual(t *testing.T) {
	manual := read(t, "man/netcombiner-exporter.8")
	help := output(t, "go", "run", "-C", "../src/exporter", ".", "--help")
	told := options(help)
	if !slices.Contains(told, "--listen") {
		t.Fatalf("%q: does this test still read the help right?\n%s", told, help)
	}
	for _, o := range told {
		if !strings.Contains(manual, ".It Fl Fl "+o[2:]) {
			t.Errorf("%s is not in the manual", o)
		}
	}
	for _, found := range regexp.MustCompile(`Fl Fl ([a-z-]+)`).FindAllStringSubmatch(manual, -1) {
		if !slices.Contains(told, "--"+found[1]) {
			t.Errorf("the manual tells of an option --%s", found[1])
		}
	}
}

// sections are the configuration's, each with its keys, as the parser tells
// whoever mistypes one.
func sections(t *testing.T) map[string][]string {
	t.Helper()
	allowed := func(text string) []string {
		_, err := config.Parse("x", strings.NewReader(text))
		all, _ := errors.AsType[config.Errors](err)
		for _, e := range all {
			if strings.Contains(e.Problem, "unknown") {
				return strings.Split(e.Allowed, ", ")
			}
		}
		t.Fatalf("%q is not refused: %v", text, err)
		return nil
	}
	all := map[string][]string{}
	for _, s := range allowed("[Nonsense]\n") {
		all[strings.Trim(s, "[]")] = allowed(s + "\nNonsense = 1\n")
	}
	return all
}

// The manual describes every key of every section, and no other.
func TestManualDescribesEveryKey(t *testing.T) {
	known := sections(t)
	if len(known) < 3 || !slices.Contains(known["Path"], "Remote") {
		t.Fatalf("sections %v: does this test still read them right?", known)
	}
	described := map[string][]string{}
	for part := range strings.SplitSeq(read(t, "man/netcombiner.conf.5"), "\n.Ss Section ") {
		name, body, _ := strings.Cut(part, "\n")
		body, _, _ = strings.Cut(body, "\n.Sh ")
		if known[name] == nil {
			if !strings.HasPrefix(name, ".Dd") {
				t.Errorf("the manual describes a section %q", name)
			}
			continue
		}
		for _, found := range regexp.MustCompile(`(?m)^\.It Cm (\S+)$`).FindAllStringSubmatch(body, -1) {
			described[name] = append(described[name], found[1])
		}
	}
	for name, keys := range known {
		for _, key := range keys {
			if !slices.Contains(described[name], key) {
				t.Errorf("the manual does not describe %s of [%s]", key, name)
			}
		}
		for _, key := range described[name] {
			if !slices.Contains(keys, key) {
				t.Errorf("the manual describes %s of [%s], which there is not", key, name)
			}
		}
	}
}

// The example configurations are right, once there is a key.
func TestExamples(t *testing.T) {
	files, _ := filepath.Glob("examples/*.conf")
	if len(files) != 2 {
		t.Fatalf("%q", files)
	}
	for _, file := range files {
		key := "Key = " + config.GenerateKey().Base64() + " #"
		text := strings.Replace(read(t, file), "KeyFile = ", key, 1)
		if _, err := config.Parse(file, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestManualsAreWellFormed(t *testing.T) {
	manuals, _ := filepath.Glob("man/*.[58]")
	if len(manuals) < 3 {
		t.Fatalf("%q", manuals)
	}
	for _, manual := range manuals {
		t.Run(manual, func(t *testing.T) {
			need(t, "mandoc")
			out, _ := exec.Command("mandoc", "-Tlint", "-Wstyle", manual).CombinedOutput()
			for line := range strings.Lines(string(out)) {
				// Which other manuals this host has is no matter.
				if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") {
					t.Error(line)
				}
			}
		})
	}
}

// complete is what bash would offer after these words, the last of which is
// unfinished.
func complete(t *testing.T, run string, words ...string) []string {
	t.Helper()
	line := append([]string{"netcombiner"}, words...)
	script := `. completion/netcombiner.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _netcombiner; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command("bash", append([]string{"-uc", script, "bash"}, line...)...)
	cmd.Env = append(os.Environ(), "NETCOMBINER_RUN_DIR="+run, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%q: %v\n%s", words, err, &errs)
	}
	return strings.Fields(string(out))
}

func TestBashCompletion(t *testing.T) {
	need(t, "bash")
	run := t.TempDir()
	for _, socket := range []string{"nc0.sock", "home.sock", "nc0.lock"} {
		if err := os.WriteFile(filepath.Join(run, socket), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"dow":                          "down",
		"re":                           "remove reload",
		"down ":                        "home nc0",
		"show n":                       "nc0",
		"show nc0 ":                    "",
		"show nc0 --j":                 "--json",
		"reload ":                      "home nc0",
		"service ":                     "install uninstall start stop status",
		"service un":                   "uninstall",
		"init ":                        "remote local",
		"init remote --no":             "--no-tcp",
		"init local - --wan l":         "lo",
		"set ":                         "home nc0",
		"set nc0 ":                     "path scheduler fallback",
		"set nc0 fallback d":           "direct",
		"set nc0 scheduler gr":         "greedy",
		"set nc0 path dsl ":            "metric rate congestion direction quota quotareset bind remote up down",
		"set nc0 path dsl congestion ": "bbr newreno none default",
		"set nc0 path dsl metric 1 r":  "rate remote",
		"add nc0 path dsl pro":         "protocol",
		"remove nc0 ":                  "path bypass",
		"add nc0 bypass 192.0.2.1 ":    "via",
		"remove nc0 bypass 192.0.2.1 ": "",
		"remove nc0 path dsl ":         "",
		"--con":                        "--config",
		"nc0 -":                        "-f --config --help",
		"check --a":                    "--all",
		"check ./pack":                 "./packaging_test.go",
		"--config examples/rem":        "examples/remote.conf",
		"--config x dow":               "down",
		"help serv":                    "service",
		"genkey ":                      "",
		"down --h":                     "--help",
	} {
		if got := strings.Join(complete(t, run, strings.Split(line, " ")...), " "); got != want {
			t.Errorf("netcombiner %s[tab]: %q, want %q", line, got, want)
		}
	}
	for name := range commands(t) {
		if name != "" && !slices.Contains(complete(t, run, ""), name) {
			t.Errorf("%s is not offered", name)
		}
	}
}

// showing puts a program in netcombiner's place that prints a status as "show --json" does.
func showing(t *testing.T, s *control.Status) {
	t.Helper()
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	before := program
	t.Cleanup(func() { program = before })
	program = filepath.Join(t.TempDir(), "netcombiner")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat <<'.'\n"+string(text)+"\n.\n"), 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
}

// The paths that there are can be removed; those that were can be not, though the totals
// know them.
func TestCompletionOfPaths(t *testing.T) {
	showing(t, &control.Status{
		Paths:  []control.Path{{Name: "dsl"}, {Name: "lte"}},
		Totals: []control.Month{{Month: "2026-11", Paths: []control.PathTotal{{Name: "dsl"}, {Name: "gone"}}}},
	})
	const want = "dsl lte"
	t.Run("bash", func(t *testing.T) {
		need(t, "bash")
		if got := strings.Join(complete(t, t.TempDir(), "remove", "nc0", "path", ""), " "); got != want {
			t.Errorf("%q", got)
		}
	})
	t.Run("zsh", func(t *testing.T) {
		need(t, "zsh")
		t.Setenv("PATH", filepath.Dir(program)+":"+os.Getenv("PATH"))
		got := output(t, "zsh", "-fc", `_arguments() { :; }; _describe() { print ${(P)2}; }; . completion/_netcombiner; line=(nc0); _netcombiner_paths`)
		if strings.TrimSpace(got) != want {
			t.Errorf("%q", got)
		}
	})
}

// What a tunnel that runs can change stands in the help of set and in the manual.
func TestLiveKeysAreDescribed(t *testing.T) {
	_, manual, _ := strings.Cut(read(t, "man/netcombiner.8"), "\n.It Cm set\n")
	manual, _, _ = strings.Cut(manual, "\n.It ")
	help := commands(t)["set"]
	for _, key := range slices.Concat(config.LivePath, config.LiveInterface) {
		word := regexp.MustCompile(`\b` + key + `\b`)
		if !word.MatchString(manual) {
			t.Errorf("the manual of set has no %s", key)
		}
		if !word.MatchString(help) {
			t.Errorf("the help of set has no %s", key)
		}
	}
}

// Every command and every option is in the completion of each shell, and the
// keys that "set" changes are.
func TestCompletionsKnowEverything(t *testing.T) {
	shells := map[string]string{"bash": "netcombiner.bash", "zsh": "_netcombiner", "fish": "netcombiner.fish"}
	for shell, file := range shells {
		t.Run(shell, func(t *testing.T) {
			text := read(t, filepath.Join("completion", file))
			for name, help := range commands(t) {
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
					t.Errorf("no %s", name)
				}
				for _, o := range options(help) {
					if word := strings.TrimLeft(o, "-"); !regexp.MustCompile(`\b` + word + `\b`).MatchString(text) {
						t.Errorf("%s: no %s", name, o)
					}
				}
			}
			for _, key := range slices.Concat(config.LivePath, config.LiveInterface) {
				if !regexp.MustCompile(`\b` + strings.ToLower(key) + `\b`).MatchString(text) {
					t.Errorf("set: no %s", key)
				}
			}
			need(t, shell)
			output(t, shell, "-n", filepath.Join("completion", file))
		})
	}
}

// The units' sandboxes are as tight as systemd's own judge wants them: 10 is bare, 0
// is sealed.
func TestUnitsAreSandboxed(t *testing.T) {
	need(t, "systemd-analyze")
	units, _ := filepath.Glob("../init/*.service")
	if len(units) < 2 {
		t.Fatalf("%q", units)
	}
	for _, unit := range units {
		out := output(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
		found := regexp.MustCompile(`Overall exposure level .*: ([0-9.]+)`).FindStringSubmatch(out)
		if found == nil {
			t.Fatal(out)
		}
		if exposure, err := strconv.ParseFloat(found[1], 64); err != nil || exposure > 3 {
			t.Errorf("%s: exposure %s, want 3 at most\n%s", unit, found[1], out)
		}
	}
}
