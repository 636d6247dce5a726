package opnsense

import (
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// node is an element of XML.
type node struct {
	XMLName  xml.Name
	Type     string `xml:"type,attr"`
	Text     string `xml:",chardata"`
	Children []node `xml:",any"`
}

func (n *node) child(path ...string) *node {
	for _, name := range path {
		i := slices.IndexFunc(n.Children, func(c node) bool { return c.XMLName.Local == name })
		if i < 0 {
			return &node{}
		}
		n = &n.Children[i]
	}
	return n
}

func (n *node) text(path ...string) string { return strings.TrimSpace(n.child(path...).Text) }

func (n *node) names() (all []string) {
	for _, c := range n.Children {
		all = append(all, c.XMLName.Local)
	}
	return all
}

// load reads a file of XML, all of it.
func load(t *testing.T, file string) *node {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(read(t, file)))
	n := new(node)
	if err := d.Decode(n); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		t.Fatalf("%s: %v", file, err)
	}
	return n
}

// kinds are the things of the model: each has a section of the daemon's, and a dialog.
var kinds = []struct {
	section, form string
	path          []string
	// What in the model is no key of the daemon's, and what keys it need not have: there is
	// nothing to offload on FreeBSD, the log is syslog's, config.xml holds the key itself.
	others, without []string
}{
	{"Interface", "Tunnel", []string{"items", "tunnels", "tunnel"}, []string{"enabled", "name", "instance", "carp_depend_on"}, []string{"keyfile", "offload", "log", "fallback"}},
	{"Path", "Path", []string{"items", "paths", "path"}, []string{"enabled", "tunnel", "interface", "source"}, []string{"bind"}},
	{"Listen", "Listen", []string{"items", "listens", "listen"}, []string{"enabled", "tunnel", "open"}, nil},
}

// keysOf is what the daemon says a section may hold, in small letters.
func keysOf(t *testing.T, section string) []string {
	t.Helper()
	_, err := config.ParseFor("freebsd", "x", strings.NewReader("["+section+"]\nNoSuchKey = 1\n"))
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if _, names, ok := strings.Cut(line, "unknown in ["+section+"]; allowed: "); ok {
			return strings.Split(strings.ToLower(names), ", ")
		}
	}
	t.Fatalf("the daemon does not say what [%s] may hold: %v", section, err)
	return nil
}

// Each key has a field of its name, the template writes it, and the dialog shows it.
func TestEveryKeyHasItsField(t *testing.T) {
	model := load(t, models+"Netcombiner.xml")
	template := strings.ToLower(read(t, service+"templates/OPNsense/Netcombiner/tunnel.conf"))
	for _, kind := range kinds {
		fields := model.child(kind.path...).names()
		var want []string
		for _, key := range keysOf(t, kind.section) {
			if !slices.Contains(kind.without, key) {
				want = append(want, key)
			}
			if !slices.Contains(kind.without, key) && !strings.Contains(template, "'"+key+"'") {
				t.Errorf("[%s] %s: the template does not write it", kind.section, key)
			}
		}
		for _, other := range kind.others {
			if !slices.Contains(want, other) {
				want = append(want, other)
			}
		}
		slices.Sort(want)
		got := slices.Sorted(slices.Values(fields))
		if !slices.Equal(got, want) {
			t.Errorf("[%s]: the model has %v, want %v", kind.section, got, want)
		}
		var shown []string
		prefix := strings.ToLower(kind.form) + "."
		for _, field := range load(t, controllers+"forms/dialog"+kind.form+".xml").Children {
			name, ok := strings.CutPrefix(field.text("id"), prefix)
			if !ok || field.text("label") == "" || field.text("help") == "" {
				t.Errorf("dialog%s: %q", kind.form, field.text("id"))
			}
			shown = append(shown, name)
		}
		if slices.Sort(shown); !slices.Equal(shown, got) {
			t.Errorf("dialog%s shows %v, the model has %v", kind.form, shown, got)
		}
	}
	for _, field := range load(t, controllers+"forms/general.xml").Children {
		path := strings.Split(strings.TrimPrefix(field.text("id"), "netcombiner."), ".")
		if model.child(append([]string{"items"}, path...)...).Type == "" {
			t.Errorf("general: %s is not in the model", field.text("id"))
		}
	}
}

// local and remote are configurations that take one more line of a section.
func local(section, line string) string {
	text := "[Interface]\nRole = local\nKey = " + key + "\n"
	if section == "Interface" {
		text += line
	}
	text += "[Path]\nBind = em0\nRemote = 192.0.2.1:4725\n"
	if section == "Path" {
		text = strings.Replace(text, "Bind = em0\nRemote = 192.0.2.1:4725\n", "Remote = 192.0.2.1:4725\n", 1) + line
	}
	return text
}

// allowed is what the daemon says of a value that is wrong; empty: it takes it.
func allowed(section, name, value string) string {
	text := local(section, name+" = "+value+"\n")
	switch {
	case section == "Listen":
		text = "[Interface]\nRole = remote\nKey = " + key + "\n[Listen]\n" + name + " = " + value + "\n"
	case strings.EqualFold(name, "Remote"):
		text = strings.Replace(text, "Remote = 192.0.2.1:4725\n", "", 1)
	case strings.EqualFold(name, "Key") || strings.EqualFold(name, "Role"):
		text = regexp.MustCompile(`(?mi)^`+name+` = .*\n`).ReplaceAllString(text, "")
		text = strings.Replace(text, "[Interface]\n", "[Interface]\n"+name+" = "+value+"\n", 1)
	}
	_, err := config.ParseFor("freebsd", "x", strings.NewReader(text))
	all, _ := err.(config.Errors)
	for _, one := range all {
		if strings.EqualFold(one.Key, name) && one.Value != "" || strings.EqualFold(one.Key, "key") && strings.EqualFold(name, "key") {
			return one.Allowed
		}
	}
	return ""
}

// What a person reads beside a field is what the daemon would say, not ours of it.
func TestMessagesAreTheDaemons(t *testing.T) {
	model := load(t, models+"Netcombiner.xml")
	for _, kind := range kinds {
		for _, field := range model.child(kind.path...).Children {
			name, message := field.XMLName.Local, field.text("ValidationMessage")
			if slices.Contains(kind.others, name) && (name != "name" || kind.section != "Path") || field.Type == "InterfaceField" {
				continue
			}
			said := allowed(kind.section, name, "~")
			if name == "key" {
				said = strings.TrimSuffix(said, ", or KeyFile")
			}
			if said == "" || !sameWords(message, said) {
				t.Errorf("[%s] %s: the model says %q, the daemon %q", kind.section, name, message, said)
			}
		}
	}
}

// sameWords lets a list of words stand in another order.
func sameWords(a, b string) bool {
	x, y := strings.Split(a, ", "), strings.Split(b, ", ")
	slices.Sort(x)
	slices.Sort(y)
	return a == b || slices.Equal(x, y)
}

// mask is a field's, as a regular expression of Go.
func mask(t *testing.T, field *node) *regexp.Regexp {
	t.Helper()
	text := field.text("Mask")
	end := strings.LastIndexByte(text, '/')
	flags := text[end+1:]
	// Without D, $ would let a newline at the end through.
	if text[0] != '/' || text[1] != '^' || text[end-1] != '$' || !strings.Contains(flags, "D") {
		t.Fatalf("the mask %q is not held at both ends", text)
	}
	expression := strings.ReplaceAll(text[1:end], `\/`, "/")
	if strings.Contains(flags, "i") {
		expression = "(?i)" + expression
	}
	return regexp.MustCompile(strings.TrimSuffix(expression, "$") + `\z`)
}

// A mask takes whatever the daemon takes, and nothing that could be more than a value.
func TestMasks(t *testing.T) {
	good := map[string][]string{
		"Path name": {"dsl", "a.b-c_d", "0", strings.Repeat("x", 32)},
		"remote":    {"vps.example.org:4725", "192.0.2.7:4725", "[2001:db8::7]:4725", "Vps_1.Example.:1", "[::ffff:192.0.2.7]:65535"},
		"rate":      {"40mbit/10mbit", "2.5mbit", "8kbit", "1000gbit / 8000bit", "40 MBIT", "64000bit"},
		"quota":     {"50GB", "1.5 TiB", "500mib", "1000TB", "1MB"},
		"address":   {"[::]:4725", "0.0.0.0:4725", "192.0.2.7:1", "[2001:db8::7]:65535"},
		"memorylimit": {
			"16MB", "2GB", "64 MiB", "0.5gib",
		},
		"metrics":   {"127.0.0.1:9487", "[::1]:9487", "192.168.1.1:1"},
		"keepports": {"22", "65535"},
	}
	bad := []string{"", "\n", " ", "a b", "x\ny", "\"", "'", "`id`", "$(id)", "a#b", "<b>", "a;b", "a\x00b", "ü", "=", "[Path]"}
	model := load(t, models+"Netcombiner.xml")
	tried := 0
	for _, kind := range kinds {
		for _, field := range model.child(kind.path...).Children {
			name := field.XMLName.Local
			if field.text("Mask") == "" {
				if field.Type == "TextField" {
					t.Errorf("[%s] %s: a text without a mask", kind.section, name)
				}
				continue
			}
			tried++
			m := mask(t, &field)
			values := good[name]
			if name == "name" {
				values = good["Path name"]
			}
			if len(values) == 0 {
				t.Errorf("[%s] %s: no good values to try", kind.section, name)
			}
			for _, value := range values {
				if !m.MatchString(value) {
					t.Errorf("[%s] %s = %q: the mask does not take it", kind.section, name, value)
				}
				if said := allowed(kind.section, name, value); said != "" && name != "keepports" && kind.section+name != "Interfacename" {
					t.Errorf("[%s] %s = %q: the daemon allows %s", kind.section, name, value, said)
				}
				for _, wrong := range bad {
					if m.MatchString(value + wrong + "\n") {
						t.Errorf("[%s] %s = %q: the mask takes it", kind.section, name, value+wrong+"\n")
					}
				}
			}
			for _, value := range bad {
				if m.MatchString(value) {
					t.Errorf("[%s] %s = %q: the mask takes it", kind.section, name, value)
				}
			}
		}
	}
	if tried != 9 {
		t.Errorf("%d masks", tried)
	}
}

// grants says whether a privilege of OPNsense opens an address.
func grants(privilege *node, address string) bool {
	for _, pattern := range privilege.child("patterns").Children {
		expression := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(pattern.Text)), `\*`, ".*")
		if regexp.MustCompile("^" + expression + "$").MatchString(address) {
			return true
		}
	}
	return false
}

// Who may only look gets at no key, and changes nothing.
func TestPrivileges(t *testing.T) {
	acl := load(t, models+"ACL/ACL.xml")
	all, look := acl.child("page-vpn-netcombiner"), acl.child("page-vpn-netcombiner-status")
	actions := regexp.MustCompile(`function (\w+)Action\(`)
	camel := regexp.MustCompile(`[A-Z]`)
	seen := 0
	for _, controller := range []string{"Settings", "Service", "Status"} {
		for _, found := range actions.FindAllStringSubmatch(read(t, controllers+"Api/"+controller+"Controller.php"), -1) {
			for _, name := range []string{found[1], camel.ReplaceAllStringFunc(found[1], func(c string) string { return "_" + strings.ToLower(c) })} {
				address := "api/netcombiner/" + strings.ToLower(controller) + "/" + name
				seen++
				if !grants(all, address) {
					t.Errorf("%s: not in the privilege for everything", address)
				}
				if grants(look, address) != (controller == "Status") {
					t.Errorf("%s: to look gives it: %v", address, grants(look, address))
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d actions", seen)
	}
	for address, want := range map[string]bool{
		"ui/netcombiner/status": true, "ui/netcombiner/settings": false, "ui/netcombiner": false, "api/netcombiner/service/status": true,
		"api/netcombiner/service/start": false, "api/netcombiner/service/restart": false, "api/netcombiner/settings/get": false,
	} {
		if grants(look, address) != want {
			t.Errorf("to look gives %s: %v", address, !want)
		}
	}
	for _, item := range load(t, models+"Menu/Menu.xml").child("VPN", "Netcombiner").Children {
		if item.XMLName.Local == "" {
			t.Error("a menu without an item")
		}
	}
	menu := read(t, models+"Menu/Menu.xml")
	for _, found := range regexp.MustCompile(`url="/([^"#]*)`).FindAllStringSubmatch(menu, -1) {
		open := false
		for _, privilege := range acl.Children {
			open = open || grants(&privilege, found[1])
		}
		if !open {
			t.Errorf("no privilege opens the menu's /%s", found[1])
		}
	}
}
