package pfsense

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// tunnelForm is what the form of a tunnel posts.
var tunnelForm = object{
	"save": "Save", "enabled": "yes", "name": "home", "instance": "0", "role": "local", "secret": key, "address": "172.19.152.3/31", "routing": "nat", "carp": "",
	"suite": "auto", "scheduler": "earliest", "mtu": "", "egress": "auto", "authenticateaddresses": "no", "memorylimit": "", "metrics": "", "publicaddress": "",
	"clientinterface": "", "keepports": "",
}

// pathForm is what the form of a path posts.
var pathForm = object{
	"save": "Save", "enabled": "yes", "of": "nc0", "name": "dsl", "interface": "wan", "remote": "203.0.113.2:4725", "transport": "udp", "metric": "0", "quota": "",
	"quotareset": "", "source": "", "gateway": "", "protocol": "", "rate": "", "congestion": "", "direction": "both",
}

// From nothing to a tunnel that runs, by the forms alone.
func TestForms(t *testing.T) {
	f := newFirewall(t)
	f.php("netcombiner_install();")
	contains(t, "form", f.get("edit.php", object{"kind": "tunnel"}), `name="instance" id="instance" type="text" value="0"`, `name="keynew"`, `name="keyshow"`)
	same(t, "saved", f.post("edit.php", object{"kind": "tunnel"}, tunnelForm), "")
	contains(t, "apply without paths", f.post("list.php", object{"kind": "tunnel"}, object{"apply": "Apply Changes"}), "nc0: [Path]: missing; allowed: one for each Internet link")
	same(t, "saved", f.post("edit.php", object{"kind": "path"}, pathForm), "")
	page := f.post("list.php", object{"kind": "path"}, object{"apply": "Apply Changes"})
	contains(t, "applied", page, `class="applied"`, "home (nc0)", "<td>WAN</td>")
	lacks(t, "applied", page, "input-error", `name="apply"`)
	same(t, "runs", f.exists("runs/nc0"), true)
	same(t, "gateway", f.parsed("nc0").Paths[0].Gateway[0].String(), "192.0.2.1")

	same(t, "edited", f.post("edit.php", object{"kind": "path", "id": "0"}, with(pathForm, object{"metric": "7"})), "")
	contains(t, "to be applied", f.get("list.php", object{"kind": "path"}), `name="apply"`, "<td>7</td>")
	same(t, "not yet", f.parsed("nc0").Paths[0].Metric, 0)

	// Another device, and what belongs to the tunnel goes with it; then it is deleted, likewise.
	same(t, "moved", f.post("edit.php", object{"kind": "tunnel", "id": "0"}, with(tunnelForm, object{"instance": "5", "secret": ""})), "")
	same(t, "its path", f.items("path")[0]["of"], "nc5")
	same(t, "its key", f.items("tunnel")[0]["secret"], key)
	f.post("list.php", object{"kind": "tunnel", "id": "0"}, object{"act": "toggle"})
	same(t, "disabled", f.items("tunnel")[0]["enabled"], "no")
	f.post("list.php", object{"kind": "tunnel", "id": "0"}, object{"act": "del"})
	same(t, "left", len(f.items("tunnel"))+len(f.items("path")), 0)
	f.post("list.php", object{"kind": "tunnel"}, object{"apply": "Apply Changes"})
	same(t, "runs", f.exists("runs/nc0"), false)
}

// A form that is wrong saves nothing, says why beside what was typed, and mostly in the
// daemon's words.
func TestWrongForms(t *testing.T) {
	f := newHome(t)
	before := f.text("config.xml")
	for _, c := range []struct {
		kind, id, value, words string
	}{
		{"tunnel", "instance", "256", "Device: not a number of a device; allowed: 0 to 255"},
		{"tunnel", "instance", "-1", "Device: not a number"},
		{"tunnel", "instance", "0", "Device: another tunnel has it"},
		{"tunnel", "name", "", "Name: missing"},
		{"tunnel", "name", "a\x01b", "Name: not one line of text"},
		{"tunnel", "name", "a\nb", "Name: not one line of text"},
		{"tunnel", "role", "both", "Role: not one of those to choose from"},
		{"tunnel", "carp", "_vip7", "Depends on (CARP): not one of those to choose from"},
		{"tunnel", "address", "172.19.152.300", "Address"},
		{"tunnel", "secret", "short", "Key: not base64; allowed: 32 bytes in base64"},
		{"tunnel", "mtu", "12", "MTU = 12: "},
		{"tunnel", "keepports", "0", "KeepPorts"},
		{"path", "of", "nc9", "Tunnel: not one of those to choose from"},
		{"path", "name", "dsl", "dsl"}, // there is one
		{"path", "name", "x # y", "Name: not one line of text"},
		{"path", "remote", "", "Remote"},
		{"path", "interface", "opt9", "Interface: not one of those to choose from"},
		{"path", "gateway", "192.0.2.1, 192.0.2.2", "Gateway"},
		{"path", "quota", "lots", "Quota = lots: "},
		{"listen", "address", "[::]:4725", "there is none to choose: make a tunnel of that role first"},
	} {
		form := map[string]object{
			"tunnel": with(tunnelForm, object{"instance": "1"}), "path": with(pathForm, object{"name": "new"}), "listen": {"save": "Save", "enabled": "yes", "of": "", "transport": "udp"},
		}[c.kind]
		page := f.post("edit.php", object{"kind": c.kind}, with(form, object{c.id: c.value}))
		contains(t, c.id+" "+c.value, page, `<p class="input-error">`, strings.ReplaceAll(c.words, "'", "&#039;"))
		lacks(t, c.id+" "+c.value, page, key)
		same(t, "config.xml after "+c.id, f.text("config.xml"), before)
	}
	// Of a tunnel with a wrong path, another path is saved: its own mistakes are what counts.
	f.php(`$p = netcombiner_items('path'); $p[0]['quota'] = 'lots'; return netcombiner_save('path', $p, 'test');`)
	same(t, "another path", f.post("edit.php", object{"kind": "path"}, with(pathForm, object{"name": "new"})), "")
}

// The key is on no page until somebody asks who may change it; it is never in an address.
func TestKeyIsHidden(t *testing.T) {
	f := newHome(t)
	f.apply()
	for _, page := range []struct {
		name  string
		query object
	}{{"status.php", nil}, {"show.php", nil}, {"list.php", nil}, {"list.php", object{"kind": "path"}}, {"edit.php", object{"id": "0"}}, {"edit.php", object{"id": "0", "act": "keyshow"}}, {"token.php", nil}, {"wans.php", nil}} {
		lacks(t, page.name, f.get(page.name, page.query), key)
	}
	same(t, "asked", f.post("edit.php", object{"id": "0"}, object{"act": "keyshow"}), `{"key":"`+strings.ReplaceAll(key, "/", `\/`)+`"}`)
	var fresh struct{ Key string }
	f.ok(json.Unmarshal([]byte(f.post("edit.php", nil, object{"act": "keynew"})), &fresh))
	if len(fresh.Key) != 44 || fresh.Key == key {
		t.Errorf("a new key: %q", fresh.Key)
	}
	lacks(t, "what was called", f.text("calls"), key, fresh.Key)

	f.host["readonly"] = true
	same(t, "an account that may look", f.post("edit.php", object{"id": "0"}, object{"act": "keyshow"}), `{"error":"This account may not change the configuration."}`)
	before := f.text("config.xml")
	for _, post := range []func() string{
		func() string { return f.post("edit.php", object{"id": "0"}, tunnelForm) },
		func() string { return f.post("list.php", object{"id": "0"}, object{"act": "del"}) },
		func() string { return f.post("list.php", nil, object{"act": "enable"}) },
		func() string { return f.post("list.php", nil, object{"apply": "x"}) },
		func() string { return f.post("token.php", nil, object{"save": "x", "token": "x"}) },
		func() string {
			return f.post("wans.php", nil, object{"save": "x", "of": "nc0", "transport": "udp", "remote": "a:1", "wans": []string{"wan"}})
		},
	} {
		contains(t, "it may not change", post(), "This account may not change the configuration.")
	}
	same(t, "config.xml", f.text("config.xml"), before)
}

// A page that is only looked at changes nothing: pfSense asks for its token where something is
// posted, and there alone.
func TestGetChangesNothing(t *testing.T) {
	f := newHome(t)
	before := f.text("config.xml")
	f.calls()
	for _, query := range []object{{"act": "del", "id": "0"}, {"act": "toggle", "id": "0"}, {"act": "enable"}, {"apply": "1"}} {
		f.get("list.php", query)
	}
	f.get("edit.php", with(tunnelForm, object{"kind": "tunnel"}))
	f.get("token.php", object{"save": "1", "token": "x"})
	f.get("wans.php", object{"save": "1", "of": "nc0", "wans": []string{"wan"}})
	same(t, "config.xml", f.text("config.xml"), before)
	same(t, "calls", f.calls(), []string(nil))
}

// Who may look at the status gets no page that shows a key or changes anything.
func TestPrivileges(t *testing.T) {
	f := newFirewall(t)
	var list map[string]struct {
		Name, Descr string
		Match       []string
	}
	f.ok(json.Unmarshal([]byte(f.php("global $priv_list; require('"+port+"/files/etc/inc/priv/netcombiner.priv.inc'); return $priv_list;")), &list))
	same(t, "to look", list["page-status-netcombiner"].Match, []string{"packages/netcombiner/status.php*", "packages/netcombiner/show.php*"})
	all := strings.Join(list["page-vpn-netcombiner"].Match, " ")
	for _, page := range phpPages(t) {
		contains(t, "to change", all, "packages/netcombiner/"+page+"*")
	}
	for _, page := range []string{"status.php", "show.php"} {
		text := source(t, pages+page)
		lacks(t, page, text, "$_POST", "write_config", "_save(", "'secret'")
	}
}

// A token makes a tunnel with a path over each WAN that is chosen; it goes to the daemon's
// standard input, and nowhere else.
func TestToken(t *testing.T) {
	f := newFirewall(t)
	f.php("netcombiner_install();")
	made := newToken(t)
	page := f.get("token.php", nil)
	contains(t, "WANs", page, `<option value="wan" selected>WAN (em0; 192.0.2.1, fe80::1)</option>`, `<option value="opt1" selected>LTE modem (ue0; by DHCP)</option>`)
	lacks(t, "WANs", page, `value="lan"`)
	form := object{"save": "Save", "token": made, "name": "VPS", "wans": []string{"wan", "opt1"}}
	for _, c := range []struct {
		changed object
		words   string
	}{
		{object{"token": "nc1.abc"}, "Token: "}, {object{"token": ""}, "Token: "}, {object{"wans": []string{}}, "WANs: none is chosen"},
		{object{"wans": []string{"lan"}}, "WANs: not one of those"}, {object{"name": ""}, "Name: missing"},
	} {
		page := f.post("token.php", nil, with(form, c.changed))
		contains(t, c.words, page, c.words)
		lacks(t, c.words, page, made)
		same(t, "tunnels", len(f.items("tunnel"))+len(f.items("path")), 0)
	}
	same(t, "saved", f.post("token.php", nil, form), "")
	same(t, "problems", f.apply(), []string{})
	c := f.parsed("nc0")
	same(t, "key", c.Interface.Key.Base64(), key)
	same(t, "paths", []string{c.Paths[0].Name, c.Paths[0].Device, c.Paths[1].Name, c.Paths[1].Device, c.Paths[0].Remote.String()}, []string{"wan", "em0", "lte-modem", "ue0", "203.0.113.2:4725"})
	lacks(t, "what was called", f.text("calls"), made, key)

	form = object{"save": "Save", "of": "nc0", "transport": "tcp", "remote": "203.0.113.2:443", "wans": []string{"wan"}}
	contains(t, "the same name", f.post("wans.php", nil, form), "input-error", "wan")
	f.host["interfaces"].(object)["wan"] = object{"descr": "Fibre", "if": "em0"}
	same(t, "from the WANs", f.post("wans.php", nil, form), "")
	same(t, "path", f.items("path")[2]["name"]+" "+f.items("path")[2]["transport"], "fibre tcp")
}

// Whatever comes from elsewhere is text on every page.
func TestHostilePages(t *testing.T) {
	const bad = `"><script>alert('1')</script>&amp;`
	f := newFirewall(t)
	f.host["interfaces"].(object)["wan"] = object{"descr": bad, "if": bad}
	f.host["carp"] = object{"_vip1": []string{bad, "MASTER"}}
	item := object{}
	for _, id := range []string{"enabled", "of", "name", "instance", "role", "secret", "address", "routing", "carp", "interface", "remote", "transport", "metric", "quota", "allow", "gateway", "suite", "clientinterface"} {
		item[id] = bad
	}
	item["instance"] = "7" + bad
	tunnel := with(item, object{"instance": "0", "role": "local", "enabled": "yes", "carp": ""})
	f.configure(object{"enable": "on"}, []object{tunnel, item}, []object{item, with(item, object{"of": "nc0"})}, []object{item})
	f.write("broken-nc0", bad+"\n")
	f.write("var/run/netcombiner/nc0.problem", bad)
	html := func(what, page string) {
		t.Helper()
		if strings.Contains(page, "<script>alert") || strings.Contains(page, bad) {
			t.Errorf("%s runs it:\n%s", what, page)
		}
	}
	for _, kind := range []string{"tunnel", "path", "listen", bad} {
		html("list "+kind, f.get("list.php", object{"kind": kind}))
		html("edit "+kind, f.get("edit.php", object{"kind": kind, "id": "0"}))
		html("new "+kind, f.get("edit.php", object{"kind": kind, "id": bad}))
		html("apply "+kind, f.post("list.php", object{"kind": kind}, object{"apply": bad}))
		form := with(item, object{"save": "Save"})
		page := f.post("edit.php", object{"kind": kind}, form)
		contains(t, "refused", page, "input-error")
		html("save "+kind, page)
	}
	html("token", f.post("token.php", nil, object{"save": bad, "token": bad, "name": bad, "wans": []string{bad}}))
	html("wans", f.post("wans.php", nil, object{"save": bad, "of": bad, "transport": bad, "remote": bad, "wans": []string{bad}}))
	html("status", f.get("status.php", nil))
	shown := f.get("show.php", nil)
	html("show", shown)
	var status struct{ Problems, Names map[string]string }
	f.ok(json.Unmarshal([]byte(shown), &status))
	same(t, "problem", status.Problems["nc0"], bad)
	same(t, "name", status.Names["nc0"], bad)
}

// Lists where text is meant, numbers where items are, and nothing at all are no matter.
func TestOddRequests(t *testing.T) {
	f := newHome(t)
	odd := object{"kind": []string{"x"}, "id": []string{"0"}, "act": []string{"del"}, "name": []string{"x"}, "save": []string{"x"}, "wans": "wan", "token": []string{"x"}}
	before := f.text("config.xml")
	for _, page := range phpPages(t) {
		f.get(page, odd)
		f.post(page, odd, odd)
		f.post(page, object{"id": "99"}, object{"act": "del"})
	}
	same(t, "config.xml", f.text("config.xml"), before)
	f.php("config_set_path('installedpackages/netcombiner', ['config' => '', 'tunnels' => '', 'paths' => ['item' => ''], 'listens' => ['item' => ['', 'x', ['of' => ['z' => 'y']]]]]); write_config('test');")
	for _, page := range phpPages(t) {
		for _, kind := range []string{"tunnel", "path", "listen"} {
			f.get(page, object{"kind": kind})
		}
	}
	same(t, "apply", f.apply(), []string{})
}

// The script of the status makes elements of text alone.
func TestStatusScript(t *testing.T) {
	text := source(t, pages+"status.js")
	lacks(t, "status.js", text, "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", ".html(")
	known := source(t, pages+"status.php")
	for _, word := range regexp.MustCompile(`words\.([a-z]+)`).FindAllStringSubmatch(text, -1) {
		contains(t, "the words of status.php", known, "'"+word[1]+"' =>")
	}
}
