package opnsense

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netcombiner/src/config"
)

type object = map[string]any

// told is what a piece of the plugin's PHP answered, and what it did.
type told struct {
	Answer   any
	Asked    []string
	Firewall [][]any
	Saved    bool
	Model    object
}

// php runs a piece of the plugin's PHP on the stand-in for OPNsense's framework.
func php(t *testing.T, task object) told {
	t.Helper()
	input, err := json.Marshal(task)
	must(t, err)
	c := exec.CommandContext(t.Context(), "php", "-d", "display_errors=stderr", "-d", "error_reporting=-1", "-d", "html_errors=0", "testdata/opnsense.php", plugin)
	var out, complaints bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &out, &complaints
	if err := c.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%v: %s%s", err, out.String(), complaints.String())
	}
	var answer struct {
		told
		Model any
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	answer.told.Model, _ = answer.Model.(object)
	return answer.told
}

const (
	homeID = "00000000-0000-4000-8000-000000000001"
	awayID = "00000000-0000-4000-8000-000000000002"
)

// model is a local tunnel, nc0, and a remote one, nc1.
func model() object {
	return object{
		"general": object{"enabled": "1"},
		"tunnels": object{"tunnel": object{
			homeID: object{"enabled": "1", "name": "home", "instance": "0", "role": "local", "key": key},
			awayID: object{"enabled": "1", "name": "vps <b>", "instance": "1", "role": "remote", "key": key},
		}},
		"paths": object{"path": object{"00000000-0000-4000-8000-0000000000b1": object{"enabled": "1", "tunnel": homeID, "name": "dsl"}}},
		"listens": object{"listen": object{
			"00000000-0000-4000-8000-0000000000d1": object{"enabled": "1", "open": "1", "tunnel": awayID, "transport": "udp", "address": "[::]:4725", "allow": ""},
			"00000000-0000-4000-8000-0000000000d2": object{"enabled": "1", "open": "1", "tunnel": awayID, "transport": "tcp", "address": "192.0.2.7:443", "allow": "198.51.100.0/24,2001:db8::/32"},
			"00000000-0000-4000-8000-0000000000d3": object{"enabled": "1", "open": "1", "tunnel": awayID, "transport": "ip", "address": "::", "allow": ""},
			"00000000-0000-4000-8000-0000000000d4": object{"enabled": "1", "open": "0", "tunnel": awayID, "transport": "udp", "address": "[::]:1"},
			"00000000-0000-4000-8000-0000000000d5": object{"enabled": "0", "open": "1", "tunnel": awayID, "transport": "udp", "address": "[::]:2"},
			"00000000-0000-4000-8000-0000000000d6": object{"enabled": "1", "open": "1", "tunnel": "gone", "transport": "udp", "address": "[::]:3"},
		}},
	}
}

// disabled is model with nothing that is to run.
func disabled() object {
	m := model()
	m["general"] = object{"enabled": "0"}
	return m
}

func TestHooks(t *testing.T) {
	call := func(m object, function string) any {
		t.Helper()
		return php(t, object{"model": m, "function": function}).Answer
	}
	for _, function := range []string{"netcombiner_services", "netcombiner_interfaces"} {
		if got, ok := call(disabled(), function).([]any); !ok || len(got) > 0 {
			t.Errorf("%s, disabled: %v", function, got)
		}
	}
	services := call(model(), "netcombiner_services").([]any)
	first := services[1].(object)
	if len(services) != 2 || first["description"] != "netcombiner vps &lt;b&gt;" || first["id"] != "nc1" || first["pidfile"] != "/var/run/netcombiner/nc1.pid" ||
		!reflect.DeepEqual(first["configd"], object{"start": []any{"netcombiner start nc1"}, "stop": []any{"netcombiner stop nc1"}, "restart": []any{"netcombiner restart nc1"}}) {
		t.Errorf("services: %v", services)
	}
	devices := call(model(), "netcombiner_devices").([]any)[0].(object)
	if names := devices["names"].(object); len(names) != 2 || names["nc0"].(object)["name"] != "nc0" || devices["volatile"] != true ||
		!regexp.MustCompile(devices["pattern"].(string)).MatchString("nc0") || regexp.MustCompile(devices["pattern"].(string)).MatchString("nctl0") {
		t.Errorf("devices: %v", devices)
	}
	if group := call(model(), "netcombiner_interfaces").(object)["netcombiner"].(object); group["if"] != "netcombiner" || group["type"] != "group" {
		t.Errorf("interfaces: %v", group)
	}
	sync := call(model(), "netcombiner_xmlrpc_sync").([]any)[0].(object)
	if mount := load(t, models+"Netcombiner.xml").text("mount"); "//"+strings.ReplaceAll(sync["section"].(string), ".", "/") != mount {
		t.Errorf("what is synchronised is %v, the model is at %s", sync, mount)
	}
	hooks := call(model(), "netcombiner_configure").(object)
	if !reflect.DeepEqual(hooks, object{"vpn": []any{"netcombiner_configure_do"}}) {
		t.Errorf("hooks: %v", hooks)
	}
	if asked := php(t, object{"model": model(), "function": "netcombiner_configure_do"}).Asked; !slices.Equal(asked, []string{"netcombiner reconfigure"}) {
		t.Errorf("at boot: %v", asked)
	}
	if asked := php(t, object{"model": disabled(), "function": "netcombiner_configure_do"}).Asked; len(asked) > 0 {
		t.Errorf("at boot, disabled: %v", asked)
	}
}

// Each action that PHP asks of configd is there.
func TestActionsAreThere(t *testing.T) {
	actions := read(t, service+"conf/actions.d/actions_netcombiner.conf")
	asked := regexp.MustCompile(`(?:configdp?Run\('|configd_run\('|\["|configctl -dq )netcombiner (\w+)`)
	seen := 0
	for _, file := range append(files(t, ".php", ".inc"), plugin+"etc/rc.syshook.d/carp/20-netcombiner") {
		for _, found := range asked.FindAllStringSubmatch(read(t, file), -1) {
			if seen++; !strings.Contains(actions, "["+found[1]+"]\n") {
				t.Errorf("%s asks configd for %s", file, found[1])
			}
		}
	}
	if seen != 10 {
		t.Errorf("%d are asked for", seen)
	}
}

func TestFirewall(t *testing.T) {
	if got := php(t, object{"model": disabled(), "function": "netcombiner_firewall"}).Firewall; len(got) > 0 {
		t.Errorf("disabled: %v", got)
	}
	got := php(t, object{"model": model(), "function": "netcombiner_firewall"}).Firewall
	if len(got) != 6 || !reflect.DeepEqual(got[:2], [][]any{{"anchor", "netcombiner/*", "nat", 1.0, "head"}, {"anchor", "netcombiner/*", "fw", 1.0, "head"}}) {
		t.Fatalf("%v", got)
	}
	want := [][]string{ // ipprotocol, protocol, from, to_port
		{"inet46", "udp", "any", "4725"}, {"inet", "tcp", "198.51.100.0/24", "443"}, {"inet6", "tcp", "2001:db8::/32", "443"}, {"inet46", "253", "any", ""},
	}
	for i, call := range got[2:] {
		rule := call[1].(object)
		for k, name := range []string{"ipprotocol", "protocol", "from", "to_port"} {
			if value, _ := rule[name].(string); value != want[i][k] {
				t.Errorf("rule %d: %v, want %v", i, rule, want[i])
			}
		}
		if rule["direction"] != "in" || rule["to"] != "(self)" {
			t.Errorf("rule %d: %v", i, rule)
		}
	}
}

// Rules are made before the daemon is asked, so what it refuses opens nothing.
func TestFirewallOpensNoMore(t *testing.T) {
	rules := func(tunnel, transport, protocol, address string) int {
		t.Helper()
		m := model()
		m["listens"] = object{"listen": object{"00000000-0000-4000-8000-0000000000d1": object{
			"enabled": "1", "open": "1", "tunnel": tunnel, "transport": transport, "protocol": protocol, "address": address, "allow": "",
		}}}
		return len(php(t, object{"model": m, "function": "netcombiner_firewall"}).Firewall) - 2
	}
	for _, address := range []string{"[::]", "::", "::1", "192.0.2.7", "192.0.2.7:0", "[::]:99999", "[::]:70000", "2001:db8::7:4725", "", "[::]:4725\npass"} {
		for _, transport := range []string{"udp", "tcp"} {
			if n := rules(awayID, transport, "", address); n != 0 {
				t.Errorf("%s at %q: %d rules", transport, address, n)
			}
		}
	}
	if rules(homeID, "udp", "", "[::]:4725") != 0 || rules(awayID, "udp", "", "[::]:65535") != 1 {
		t.Error("a local tunnel listens, or a remote one does not")
	}
	taken := regexp.MustCompile(`NETCOMBINER_TAKEN = \[([0-9, ]+)\]`).FindStringSubmatch(read(t, plugin+"etc/inc/plugins.inc.d/netcombiner.inc"))[1]
	for n := 1; n < 255; n++ {
		_, err := config.ParseFor("freebsd", "nc0", strings.NewReader(fmt.Sprintf("[Interface]\nRole = remote\nKey = %s\n[Listen]\nTransport = ip\nProtocol = %d\nAddress = ::\n", key, n)))
		if theirs := slices.Contains(strings.Split(taken, ", "), strconv.Itoa(n)); theirs != (err != nil) {
			t.Errorf("protocol %d is taken: %v, the daemon says %v", n, theirs, err)
		}
	}
	for _, protocol := range []string{"6", "17", "1", "255", "0x6", "-1"} {
		if n := rules(awayID, "ip", protocol, "::"); n != 0 {
			t.Errorf("protocol %s: %d rules", protocol, n)
		}
	}
}

func TestApply(t *testing.T) {
	apply := func(said any) told {
		return php(t, object{"controller": "Service", "action": "reconfigure", "post": object{}, "answers": object{"netcombiner reconfigure": said}})
	}
	good := apply("OK\n")
	if !reflect.DeepEqual(good.Answer, object{"status": "ok"}) || !slices.Equal(good.Asked, []string{"filter reload skip_alias", "netcombiner reconfigure"}) {
		t.Errorf("%v, %v", good.Answer, good.Asked)
	}
	wrong := apply("nc0.conf:7: Rate = <b>: not a rate\nand more\n")
	if !reflect.DeepEqual(wrong.Answer, object{"status": "failed", "status_msg": "nc0.conf:7: Rate = &lt;b&gt;: not a rate<br />\nand more"}) {
		t.Errorf("%v", wrong.Answer)
	}
	if silent := apply(nil); !reflect.DeepEqual(silent.Answer, object{"status": "failed", "status_msg": "configd does not answer"}) {
		t.Errorf("%v", silent.Answer)
	}
	if get := php(t, object{"controller": "Service", "action": "reconfigure"}); len(get.Asked) > 0 {
		t.Errorf("a GET changes something: %v", get.Asked)
	}
}

func TestKeyIsHidden(t *testing.T) {
	hidden := php(t, object{"key": key}).Answer
	if !reflect.DeepEqual(hidden, []any{"", true, key, []any{}}) {
		t.Errorf("%v", hidden)
	}
	for _, bad := range []string{"", "short", key + "\n", key[:43], strings.Replace(key, "=", "A", 1), key[:42] + "B=", "[Path]"} {
		answer := php(t, object{"key": bad}).Answer.([]any)
		if !reflect.DeepEqual(answer[3], []any{"wrong"}) {
			t.Errorf("%q is taken: %v", bad, answer)
		}
	}
	reveal := func(more object) any {
		task := object{"model": model(), "controller": "Settings", "action": "revealKey", "arguments": []string{homeID}, "post": object{}}
		for name, value := range more {
			task[name] = value
		}
		return php(t, task).Answer
	}
	if got := reveal(nil); !reflect.DeepEqual(got, object{"status": "ok", "key": key}) {
		t.Errorf("asked for: %v", got)
	}
	for what, got := range map[string]any{
		"by GET": reveal(object{"post": nil}), "read-only": reveal(object{"readOnly": true}), "of none": reveal(object{"arguments": []string{"none"}}),
	} {
		if text, _ := json.Marshal(got); strings.Contains(string(text), key) {
			t.Errorf("%s: %s", what, text)
		}
	}
	status := php(t, object{"model": model(), "controller": "Status", "action": "show", "answers": object{
		"netcombiner show": `[{"interface":"nc1"}]`, "netcombiner problems": "nc0: it is stopped\nnonsense\n",
	}})
	if want := (object{"tunnels": []any{object{"interface": "nc1"}}, "problems": object{"nc0": "it is stopped"}, "names": object{"nc0": "home", "nc1": "vps <b>"}}); !reflect.DeepEqual(status.Answer, want) {
		t.Errorf("status: %v, want %v", status.Answer, want)
	}
	nothing := php(t, object{"model": object{}, "controller": "Status", "action": "show"})
	if !reflect.DeepEqual(nothing.Answer, object{"tunnels": []any{}, "problems": object{}, "names": object{}}) {
		t.Errorf("status of none: %v", nothing.Answer)
	}
}

// The token goes to configd in a file that only this user may read, which is gone afterwards.
func TestPasteToken(t *testing.T) {
	const said = `{"key":"` + key + `","address":["172.19.152.3/31","fd19:152::3/127"],"suite":"auto","routing":"nat","paths":[{"transport":"udp","remote":"vps.example.org:4725"},{"transport":"tcp","remote":"vps.example.org:443"}]}`
	paste := func(answer string, more object) told {
		task := object{
			"model": model(), "controller": "Settings", "action": "token", "answers": object{"netcombiner token": answer},
			"interfaces": object{"wan": object{"descr": ""}, "opt1": object{"descr": "Mobile net & Ü"}},
			"post":       object{"token": object{"text": "nc1.TOKEN", "name": "office", "interfaces": "wan,opt1"}},
		}
		for name, value := range more {
			task[name] = value
		}
		return php(t, task)
	}
	got := paste(said, nil)
	call := regexp.MustCompile(`^netcombiner token 600 (/tmp/netcombiner_token_[0-9A-Za-z]+)$`).FindStringSubmatch(got.Asked[0])
	if call == nil || got.Asked[1] != "in the file: nc1.TOKEN" || exists(call[1]) {
		t.Errorf("%v, and the file is there still: %v", got.Asked, call != nil && exists(call[1]))
	}
	if !got.Saved || !reflect.DeepEqual(got.Answer, object{"result": "saved"}) {
		t.Errorf("%v, saved: %v", got.Answer, got.Saved)
	}
	tunnel := got.Model["tunnels"].(object)["tunnel"].(object)["add-2"]
	if want := (object{"name": "office", "role": "local", "key": key, "address": "172.19.152.3/31,fd19:152::3/127", "suite": "auto", "routing": "nat"}); !reflect.DeepEqual(tunnel, want) {
		t.Errorf("the tunnel is %v", tunnel)
	}
	paths := got.Model["paths"].(object)["path"].(object)
	for uuid, want := range map[string][2]string{"add-1": {"wan", "wan"}, "add-2": {"opt1", "mobile-net"}} {
		if path, _ := paths[uuid].(object); !reflect.DeepEqual(path, object{"tunnel": "add-2", "name": want[1], "interface": want[0], "transport": "udp", "remote": "vps.example.org:4725"}) {
			t.Errorf("%s is %v", uuid, path)
		}
	}

	bad := paste("netcombiner: the token is mangled: copied whole?\n", nil)
	if bad.Saved || !reflect.DeepEqual(bad.Answer, object{"result": "failed", "validations": object{"token.text": "netcombiner: the token is mangled: copied whole?"}}) {
		t.Errorf("mangled: %v, saved: %v", bad.Answer, bad.Saved)
	}
	wrong := paste(said, object{"wrong": [][]string{{"tunnels.tunnel.x.name", "a name of its own"}}})
	if wrong.Saved || !reflect.DeepEqual(wrong.Answer, object{"result": "failed", "validations": object{"token.name": "name: a name of its own"}}) {
		t.Errorf("not valid: %v, saved: %v", wrong.Answer, wrong.Saved)
	}
	if readOnly := paste(said, object{"readOnly": true}); readOnly.Saved || readOnly.Answer != "exception: read-only" {
		t.Errorf("read-only: %v", readOnly)
	}
	if get := paste(said, object{"post": nil}); get.Saved || len(get.Asked) > 0 {
		t.Errorf("by GET: %v", get)
	}
}

func TestWANs(t *testing.T) {
	interfaces := object{"wan": object{"descr": ""}, "opt1": object{"descr": "Mobile"}, "opt2": object{"descr": "Tunnel"}}
	got := php(t, object{"controller": "Settings", "action": "wans", "interfaces": interfaces, "gateways": object{
		"WANGW":  object{"interface": "wan", "if": "em0", "gateway": "192.0.2.1"},
		"WANGW6": object{"interface": "wan", "if": "em0", "gateway": "fe80::1"},
		"LTE":    object{"interface": "opt1", "if": "em1"},
		"GONE":   object{"interface": "opt9", "if": "em9"},
		"OURS":   object{"interface": "opt2", "if": "nc0"},
	}}).Answer.(object)["rows"].([]any)
	rows, _ := json.Marshal(got)
	for _, want := range []string{`{"descr":"WAN","device":"em0","gateways":["WANGW 192.0.2.1","WANGW6 fe80::1"],"interface":"wan"}`, `{"descr":"Mobile","device":"em1","gateways":["LTE"],"interface":"opt1"}`} {
		if !strings.Contains(string(rows), want) || len(got) != 2 {
			t.Errorf("%s, want %s", rows, want)
		}
	}
	added := php(t, object{"model": model(), "controller": "Settings", "action": "addWans", "interfaces": interfaces,
		"post": object{"wans": object{"tunnel": homeID, "interfaces": "opt1", "transport": "tcp", "remote": "192.0.2.9:443"}}})
	if path := added.Model["paths"].(object)["path"].(object)["add-1"]; !added.Saved ||
		!reflect.DeepEqual(path, object{"tunnel": homeID, "name": "mobile", "interface": "opt1", "transport": "tcp", "remote": "192.0.2.9:443"}) {
		t.Errorf("%v", path)
	}
}

// A tunnel takes its paths and listeners with it.
func TestDeleteTunnel(t *testing.T) {
	got := php(t, object{"model": model(), "controller": "Settings", "action": "delTunnel", "arguments": []string{awayID}, "post": object{}})
	listens := got.Model["listens"].(object)["listen"].(object)
	if len(listens) != 1 || len(got.Model["paths"].(object)["path"].(object)) != 1 || got.Model["tunnels"].(object)["tunnel"].(object)[awayID] != nil {
		t.Errorf("%v", got.Model)
	}
}
