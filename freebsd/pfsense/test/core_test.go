package pfsense

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// core is a copy of pfSense's sources, which PFSENSE names. With it all tests here run with
// pfSense's own forms and XML for the doubles.
func core(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("PFSENSE")
	if dir == "" {
		t.Skip("PFSENSE names no copy of pfsense/pfsense")
	}
	return dir + "/src/"
}

// What the package calls and includes, pfSense has; and it has no function of our names.
func TestFunctionsOnCore(t *testing.T) {
	var theirs strings.Builder
	inc, err := filepath.Glob(core(t) + "etc/inc/*.inc")
	if err != nil || len(inc) < 20 {
		t.Fatalf("%v, %d files in %s", err, len(inc), core(t)+"etc/inc")
	}
	for _, name := range append(inc, core(t)+"usr/local/www/guiconfig.inc") {
		theirs.WriteString(source(t, name))
	}
	has := func(name string) bool {
		if strings.HasPrefix(name, "pfSense_") { // of its module in C: used is what there is
			return strings.Contains(theirs.String(), name+"(")
		}
		return regexp.MustCompile(`(?m)^\s*function &?` + name + `\(`).MatchString(theirs.String())
	}
	var builtin []string
	out, err := exec.Command("php", "-r", "echo json_encode(get_defined_functions()['internal']);").Output()
	if err != nil || json.Unmarshal(out, &builtin) != nil {
		t.Fatal(err)
	}
	words := []string{"array", "if", "elseif", "foreach", "for", "while", "switch", "function", "isset", "unset", "empty", "exit", "echo", "print", "use", "define", "include", "require_once", "fn"}
	called := 0
	for _, file := range sources(t) {
		if ext := filepath.Ext(file); ext != ".php" && ext != ".inc" {
			continue
		}
		code := regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*|<script.*?</script>|'[^'\n]*'|"[^"\n]*"`).ReplaceAllString(source(t, file), "''")
		for _, found := range regexp.MustCompile(`(->|new |\$)?\b([A-Za-z_][A-Za-z0-9_]*)\(`).FindAllStringSubmatch(code, -1) {
			name := found[2]
			if found[1] != "" || strings.HasPrefix(name, "netcombiner_") || slices.Contains(words, strings.ToLower(name)) || slices.Contains(builtin, name) {
				continue
			}
			called++
			if !has(name) {
				t.Errorf("%s calls %s, which pfSense has not", filepath.Base(file), name)
			}
		}
		for _, found := range regexp.MustCompile(`(?:require_once|include)\('([a-z.-]+)'\)`).FindAllStringSubmatch(source(t, file), -1) {
			if !exists(core(t)+"etc/inc/"+found[1]) && !exists(core(t)+"usr/local/www/"+found[1]) {
				t.Errorf("%s includes %s, which pfSense has not", filepath.Base(file), found[1])
			}
		}
	}
	if called < 30 {
		t.Errorf("only %d calls were found", called)
	}
	if strings.Contains(theirs.String(), "function netcombiner_") {
		t.Error("pfSense has functions of our names")
	}
}

// What a page keeps for after its head, pfSense's head leaves alone.
func TestHeadOnCore(t *testing.T) {
	taken := map[string]bool{}
	for _, found := range regexp.MustCompile(`as (\$\w+)(?: => (\$\w+))?|(\$\w+) *=[^=>]`).FindAllStringSubmatch(source(t, core(t)+"usr/local/www/head.inc"), -1) {
		for _, name := range found[1:] {
			taken[name] = true
		}
	}
	if !taken["$item"] || len(taken) < 20 {
		t.Fatalf("head.inc takes %v", taken)
	}
	for _, page := range phpPages(t) {
		before, after, _ := strings.Cut(source(t, pages+page), "include('head.inc');")
		for _, name := range regexp.MustCompile(`\$\w+`).FindAllString(after, -1) {
			given := regexp.MustCompile(`(?m)^\s*\` + name + ` = |as (\$\w+ => )?\` + name + `\)`)
			if taken[name] && given.MatchString(before) && !given.MatchString(after) {
				t.Errorf("%s uses %s, which head.inc takes", page, name)
			}
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// pfSense's own reader makes of the manifest what it installs.
func TestManifestOnCore(t *testing.T) {
	core(t)
	f := newFirewall(t)
	var m struct {
		Menu, Service []map[string]string
		Plugins       struct{ Item []map[string]string }
	}
	manifest, err := filepath.Abs(files + "/pkg/netcombiner.xml")
	f.ok(err)
	f.ok(json.Unmarshal([]byte(f.php("return parse_xml_config_pkg('"+manifest+"', 'packagegui');")), &m))
	if len(m.Menu) != 2 || len(m.Service) != 1 || len(m.Plugins.Item) != 4 {
		t.Errorf("%+v", m)
	}
	_, starts := m.Service[0]["starts_on_sync"]
	same(t, "starts with the package's own resync alone", starts, true)
	for _, command := range []string{"startcmd", "stopcmd", "custom_php_service_status_command"} {
		contains(t, command, m.Service[0][command], "'/usr/local/pkg/netcombiner/netcombiner.inc'")
	}
}

// The key is in none of the reports that pfSense makes for others to read.
func TestReportOnCore(t *testing.T) {
	contains(t, "what the report leaves out", source(t, core(t)+"usr/local/pfSense/include/www/status_output.inc"), "'secret',")
	contains(t, "our table", source(t, files+"/pkg/netcombiner/fields.inc"), "'secret' => ['label' => 'Key', 'key' => 'Key', 'as' => 'secret',")
}
