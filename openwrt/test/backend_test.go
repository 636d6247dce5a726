// Package openwrt holds the packages for OpenWrt to what can be told without a router.
package openwrt

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	app    = "../luci-app-netcombiner/"
	pages  = app + "htdocs/luci-static/resources/"
	share  = app + "root/usr/share/"
	plugin = share + "rpcd/ucode/netcombiner.uc"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decode reads a file that is JSON and has no field but those of v.
func decode(t *testing.T, name string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(read(t, name)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if d.More() {
		t.Fatalf("%s: something after its end", name)
	}
}

// methods are those that the plugin has, with their text.
func methods(t *testing.T) map[string]string {
	t.Helper()
	_, block, found := strings.Cut(read(t, plugin), "\nconst methods = {\n")
	block, rest, closed := strings.Cut(block, "\n};\n")
	if !found || !closed || strings.TrimSpace(rest) != "return { netcombiner: methods };" {
		t.Fatal("the plugin's methods are not where this test looks for them")
	}
	all := map[string]string{}
	for _, one := range strings.Split(block, "\n\t},\n\n") {
		one = regexp.MustCompile(`(?m)^\t// .*\n`).ReplaceAllString(one, "")
		name, body, ok := strings.Cut(strings.TrimPrefix(one, "\t"), ": {\n")
		if !ok || !regexp.MustCompile(`^\w+$`).MatchString(name) {
			t.Fatalf("not a method: %s", one)
		}
		all[name] = body
	}
	return all
}

// sources are the plugin and its modules, by the name that import knows them by.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"": read(t, plugin)}
	files, _ := filepath.Glob(share + "ucode/netcombiner/*.uc")
	for _, file := range files {
		all["netcombiner."+strings.TrimSuffix(filepath.Base(file), ".uc")] = read(t, file)
	}
	if len(all) < 5 {
		t.Fatalf("only %d files", len(all))
	}
	return all
}

// What a module imports from another is there.
func TestImports(t *testing.T) {
	all := sources(t)
	for name, text := range all {
		for _, i := range regexp.MustCompile(`(?m)^import \{ (.*) \} from '(netcombiner\..*)';$`).FindAllStringSubmatch(text, -1) {
			for what := range strings.SplitSeq(i[1], ", ") {
				exported := regexp.MustCompile(`(?m)^export (function|const) ` + what + `\b`)
				if !exported.MatchString(all[i[2]]) {
					t.Errorf("%q imports %s, which %s does not export", name, what, i[2])
				}
				if strings.Count(text, what) < 2 {
					t.Errorf("%q imports %s for nothing", name, what)
				}
			}
		}
	}
}

// rights are what one side of an access group grants. That there is no "file" or "cgi-io"
// is the point: no command can be run but by the plugin.
type rights struct {
	Ubus map[string][]string `json:"ubus"`
	UCI  []string            `json:"uci"`
}

// Who may only look changes nothing, and no method tells them a key; every method is in
// exactly one group. The configuration they may read: so a key that the pages save is in a
// file, which it names.
func TestRights(t *testing.T) {
	var acl map[string]struct {
		Description string `json:"description"`
		Read        rights `json:"read"`
		Write       rights `json:"write"`
	}
	decode(t, share+"rpcd/acl.d/luci-app-netcombiner.json", &acl)
	group := acl["luci-app-netcombiner"]
	if len(acl) != 1 || group.Description == "" {
		t.Fatalf("the groups are %v", acl)
	}
	for _, side := range []struct {
		name    string
		rights  rights
		methods []string
		objects map[string][]string
	}{
		{"read", group.Read, []string{"check", "log", "status", "wans"}, map[string][]string{"network.interface": {"dump"}}},
		{"write", group.Write, []string{"action", "genkey", "key", "path", "token"}, nil},
	} {
		got := slices.Sorted(slices.Values(side.rights.Ubus["netcombiner"]))
		if !slices.Equal(got, side.methods) {
			t.Errorf("%s grants %v, want %v", side.name, got, side.methods)
		}
		delete(side.rights.Ubus, "netcombiner")
		if !maps.EqualFunc(side.rights.Ubus, side.objects, slices.Equal) {
			t.Errorf("%s grants of other objects %v, want %v", side.name, side.rights.Ubus, side.objects)
		}
		if !slices.Equal(side.rights.UCI, []string{"netcombiner", "network", "firewall"}) {
			t.Errorf("%s grants the configurations %v", side.name, side.rights.UCI)
		}
	}
	want := []string{"action", "check", "genkey", "key", "log", "path", "status", "token", "wans"}
	if got := slices.Sorted(maps.Keys(methods(t))); !slices.Equal(got, want) {
		t.Errorf("the plugin has %v, and the groups grant %v", got, want)
	}
}

// Nothing waits in rpcd, which has one thread, and no shell sees what a page has sent but as
// an argument.
func TestPluginRunsNothingByItself(t *testing.T) {
	shells := 0
	for name, text := range sources(t) {
		for _, call := range []string{"popen", "system", "sleep", "writefile", "loadstring", "require", `\.call`} {
			if regexp.MustCompile(`(^|\W)` + call + `\(`).MatchString(text) {
				t.Errorf("%q calls %s", name, call)
			}
		}
		scripts := regexp.MustCompile("'-c', ('[^']+'|[A-Z]+), 'sh', ").FindAllStringSubmatch(text, -1)
		if n := strings.Count(text, "'/bin/sh'"); n != len(scripts) {
			t.Errorf("%q has %d shells, and %d scripts that this test understands", name, n, len(scripts))
		}
		shells += len(scripts)
		for _, script := range scripts {
			what := script[1]
			if what[0] == '\'' {
				continue
			}
			// It is a constant, made of constants.
			_, body, found := strings.Cut(text, "const "+what+" = `")
			body, _, _ = strings.Cut(body, "`")
			if !found || strings.Contains(strings.ReplaceAll(body, "${INIT}", ""), "${") {
				t.Errorf("%q: a shell reads %s, which is no constant:\n%s", name, what, body)
			}
		}
	}
	if shells == 0 {
		t.Error("found no shell")
	}
}

// constant is the text of a constant of a module, which may have INIT in it.
func constant(t *testing.T, module, name string) string {
	t.Helper()
	_, body, found := strings.Cut(sources(t)[module], "\nconst "+name+" = `")
	body, _, closed := strings.Cut(body, "`")
	if !found || !closed {
		t.Fatalf("%s has no %s", module, name)
	}
	return body
}

// A check that was killed leaves what LuCI has staged; the next one removes it, but not what
// another one still reads.
func TestCheckTidiesUp(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Fatal("no busybox: apt-get install busybox-static")
	}
	dir := t.TempDir()
	checks := filepath.Join(dir, "checks")
	sleeping := exec.Command("sleep", "60")
	if err := sleeping.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleeping.Process.Kill(); sleeping.Wait() }()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	live, dead := filepath.Join(checks, strconv.Itoa(sleeping.Process.Pid)), filepath.Join(checks, strconv.Itoa(gone.Process.Pid))
	for name, text := range map[string]string{
		live + "/netcombiner": "", dead + "/netcombiner": "",
		dir + "/bin/uci": "echo \"$@\"",
		dir + "/init":    `echo "$UCI_CONFIG_DIR $@: $(cat "$UCI_CONFIG_DIR/netcombiner")"; stat -c %a "$UCI_CONFIG_DIR"`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.NewReplacer("/var/run/netcombiner-check", checks, "${INIT}", dir+"/init").Replace(constant(t, "netcombiner.check", "STAGED"))
	check := exec.Command("busybox", "ash", "-c", script, "sh", "5e551", "nc0")
	check.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"))
	said, err := check.CombinedOutput()
	own := filepath.Join(checks, strconv.Itoa(check.Process.Pid))
	if want := own + " check nc0: -q -P /var/run/rpcd/uci-5e551 export netcombiner\n700\n"; err != nil || string(said) != want {
		t.Errorf("%v, %s, want %s", err, said, want)
	}
	left, _ := filepath.Glob(checks + "/*")
	if !slices.Equal(left, []string{live}) {
		t.Errorf("left: %v", left)
	}
}

// Whether a file is there is not for everybody to know: of its name only the form is checked,
// and the daemon, which would look, never gets it.
func TestCheckLooksForNoFile(t *testing.T) {
	text := sources(t)["netcombiner.check"]
	_, own, _ := strings.Cut(text, "\nconst OWN = {\n")
	own, _, _ = strings.Cut(own, "\n};\n")
	pattern := regexp.MustCompile(`\n\tkey_file: \[ /(.*)/, '`).FindStringSubmatch(own)
	if pattern == nil {
		t.Fatal("the daemon is asked about key_file")
	}
	for value, fits := range map[string]bool{"/etc/netcombiner/keys/nc0.aB3dE9": true, "nc0.key": false, "": false, "/a\nb": false, "/a b": false, "/a#": false} {
		if regexp.MustCompile(pattern[1]).MatchString(value) != fits {
			t.Errorf("%q", value)
		}
	}
	if !strings.Contains(text, "if (!fits(option, OPTION) || OWN[option]") {
		t.Error("the daemon gets what it is not to judge")
	}
}

// Each argument that a method takes has a type by which rpcd refuses others, and each
// that becomes part of a command is held to its pattern.
func TestArgumentsAreHeldToPatterns(t *testing.T) {
	argument := regexp.MustCompile(`request\.args\.(\w+)`)
	for name, body := range methods(t) {
		_, list, _ := strings.Cut(body, "args: { ")
		list, _, _ = strings.Cut(list, " },\n")
		for _, used := range argument.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(list, used[1]+": ") {
				t.Errorf("%s reads the argument %s, which has no type in %q", name, used[1], list)
			}
		}
		if name == "check" || name == "log" {
			continue // functions of their own, and a number
		}
		if strings.Contains(list, "tunnel: ") && !strings.Contains(body, "!fits(tunnel, TUNNEL)") {
			t.Errorf("%s takes any tunnel", name)
		}
		if name != "action" && name != "path" {
			continue // the others hand the rest to standard input
		}
		before, after, found := strings.Cut(body, "return run(")
		if !found || strings.Contains(after, "request.args") {
			t.Errorf("%s has an argument in its command: %s", name, after)
		}
		for _, its := range regexp.MustCompile(`(\w+) = request\.args\.`).FindAllStringSubmatch(before, -1) {
			held := []string{"fits(" + its[1] + ", ", "(" + its[1] + " in ", "type(" + its[1] + ") != 'bool'"}
			if !slices.ContainsFunc(held, func(test string) bool { return strings.Contains(before, test) }) {
				t.Errorf("%s takes %s as it comes", name, its[1])
			}
		}
	}
}

// A page asks with the arguments that the method takes: rpcd refuses any other.
func TestPagesAskWhatThereIs(t *testing.T) {
	all := methods(t)
	asked := regexp.MustCompile(`object: 'netcombiner', method: '(\w+)'(?:, params: \[ (.*?) \])?`).FindAllStringSubmatch(read(t, pages+"netcombiner/daemon.js"), -1)
	if len(asked) < len(all) {
		t.Errorf("the pages ask %d of %d methods", len(asked), len(all))
	}
	for _, call := range asked {
		_, takes, _ := strings.Cut(all[call[1]], "args: { ")
		takes, _, _ = strings.Cut(takes, " },\n")
		for param := range strings.SplitSeq(call[2], ", ") {
			if param != "" && !strings.Contains(takes, strings.Trim(param, "'")+": ") {
				t.Errorf("%s is asked with %s, and takes %s", call[1], param, takes)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	n := 0
	for _, text := range sources(t) {
		for _, pattern := range regexp.MustCompile(`(?m)^(?:export )?const [A-Z]+ = /(.*)/;$`).FindAllStringSubmatch(text, -1) {
			n++
			re := regexp.MustCompile(pattern[1])
			for _, hostile := range []string{"", "--help", "..", "a b", "a;b", "a/b", "$(a)", "`a`", "a\nb", "a'", `a"`, strings.Repeat("a", 64)} {
				if re.MatchString(hostile) {
					t.Errorf("%s lets %q through", pattern[1], hostile)
				}
			}
		}
		// A pattern of ucode's holds a line, not all of the text.
		if rest := strings.ReplaceAll(text, "match(text, pattern)?.[0] === text", ""); regexp.MustCompile(`match\([^)]*(pattern|[A-Z]{2})`).MatchString(rest) {
			t.Error("a pattern is matched by another function than fits")
		}
	}
	if n < 4 {
		t.Errorf("found %d patterns", n)
	}
}

// The menu is there for those who may look, once there is a configuration.
func TestMenu(t *testing.T) {
	var menu map[string]struct {
		Title  string `json:"title"`
		Order  int    `json:"order"`
		Action struct {
			Type string `json:"type"`
			Path string `json:"path"`
		} `json:"action"`
		Depends struct {
			ACL []string        `json:"acl"`
			UCI map[string]bool `json:"uci"`
		} `json:"depends"`
	}
	decode(t, share+"luci/menu.d/luci-app-netcombiner.json", &menu)
	const top = "admin/services/netcombiner"
	if d := menu[top].Depends; !slices.Equal(d.ACL, []string{"luci-app-netcombiner"}) || !d.UCI["netcombiner"] {
		t.Errorf("%s depends on %+v", top, d)
	}
	if len(menu) != 5 {
		t.Errorf("there are %d places, not one above the pages of status, paths, tunnel and log", len(menu))
	}
	for place, entry := range menu {
		if entry.Title == "" || place != top && entry.Action.Path != "netcombiner"+strings.TrimPrefix(place, top) {
			t.Errorf("%s: %+v", place, entry)
		}
		if place != top {
			read(t, pages+"view/"+entry.Action.Path+".js")
		}
	}
}
