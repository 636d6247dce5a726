package opnsense

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// onCore makes calls of the plugin's API on OPNsense's own framework, one after the other.
func onCore(t *testing.T, calls ...object) []any {
	t.Helper()
	core := os.Getenv("OPNSENSE_CORE")
	if core == "" {
		t.Skip("OPNSENSE_CORE names no copy of opnsense/core")
	}
	folder := t.TempDir()
	write(t, folder+"/config.xml", sample)
	input, err := json.Marshal(calls)
	must(t, err)
	ours, err := filepath.Abs(plugin)
	must(t, err)
	c := exec.CommandContext(t.Context(), "php", "-d", "display_errors=stderr", "testdata/core.php", core, ours+"/", folder)
	var out, complaints bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &out, &complaints
	var answers []any
	if err := c.Run(); err != nil || json.Unmarshal(out.Bytes(), &answers) != nil {
		t.Fatalf("%v: %s%s (php-xml is needed)", err, out.String(), complaints.String())
	}
	return answers
}

func text(answer any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(answer)
	return b.String()
}

// No answer of OPNsense holds the key but the one to who asks for it.
func TestKeyOnCore(t *testing.T) {
	answers := onCore(t,
		object{"action": "searchTunnel"}, object{"action": "getTunnel", "get": true, "arguments": []string{homeID}}, object{"action": "get", "get": true},
		object{"action": "setTunnel", "arguments": []string{homeID}, "post": object{"tunnel": object{"name": "new", "key": ""}}},
		object{"action": "revealKey", "get": true, "arguments": []string{homeID}}, object{"action": "revealKey", "arguments": []string{"none"}},
		object{"action": "revealKey", "arguments": []string{homeID}},
	)
	last := len(answers) - 1
	for i, answer := range answers[:last] {
		if strings.Contains(text(answer), key) {
			t.Errorf("answer %d holds the key: %v", i, answer)
		}
	}
	if !strings.Contains(text(answers[3]), "saved") || !strings.Contains(text(answers[last]), key) {
		t.Errorf("%v, %v", answers[3], answers[last])
	}
}

// OPNsense's validation of the model takes what is right, and says of what is wrong what the
// daemon does.
func TestValidationOnCore(t *testing.T) {
	set := func(kind, uuid string, values object) object {
		return object{"action": "set" + kind, "arguments": []string{uuid}, "post": object{strings.ToLower(kind): values}}
	}
	const path, listen = "00000000-0000-4000-8000-0000000000b1", "00000000-0000-4000-8000-0000000000d1"
	for _, tc := range []struct {
		kind, uuid  string
		field, said string
		value       string
	}{
		{"Tunnel", homeID, "key", "32 bytes in base64", "short"},
		{"Tunnel", homeID, "key", "32 bytes in base64", key + "\n[Path]"},
		{"Tunnel", homeID, "name", "up to 32 letters", "a\nb"},
		{"Tunnel", homeID, "address", "172.19.152.3/31, fd19:152::3/127", "10.0.0.1/33"},
		{"Tunnel", homeID, "mtu", "auto, or 576 to 9000 bytes", "5"},
		{"Tunnel", homeID, "keepports", "1 to 65535", "22,0"},
		{"Tunnel", homeID, "instance", "number of its own", "7"},
		{"Tunnel", homeID, "egress", "auto, fib, pf", "vrf"},
		{"Path", path, "tunnel", "whose role is local", awayID},
		{"Path", path, "name", "a name of its own", "LTE"},
		{"Path", path, "remote", "vps.example.org:4725", "a b"},
		{"Path", path, "gateway", "192.0.2.7, 2001:db8::7", "192.0.2.1/24"},
		{"Path", path, "rate", "8kbit to 1000gbit", "fast"},
		{"Listen", listen, "tunnel", "whose role is remote", homeID},
		{"Listen", listen, "address", "[::]:4725", "vps.example.org:4725"},
		{"Listen", listen, "allow", "198.51.100.0/24", "any"},
	} {
		answer := text(onCore(t, set(tc.kind, tc.uuid, object{tc.field: tc.value}))[0])
		if !strings.Contains(answer, `"`+strings.ToLower(tc.kind)+"."+tc.field+`":`) || !strings.Contains(answer, tc.said) {
			t.Errorf("%s.%s = %q: %s", tc.kind, tc.field, tc.value, answer)
		}
	}
	for _, good := range []object{
		set("Tunnel", homeID, object{"name": "x", "address": "172.19.152.3/31", "mtu": "", "keepports": "", "key": key}),
		set("Path", path, object{"rate": "40mbit/10mbit", "gateway": "192.0.2.1,fe80::1", "remote": "[2001:db8::9]:1", "quota": "1.5 TiB"}),
		set("Listen", listen, object{"address": "::", "transport": "ip", "allow": ""}),
	} {
		if answer := text(onCore(t, good)[0]); !strings.Contains(answer, "saved") {
			t.Errorf("%v: %s", good, answer)
		}
	}
}

func TestRulesOnCore(t *testing.T) {
	rules, _ := onCore(t, object{"action": "firewall"})[0].(string)
	for _, want := range []string{
		"nat-anchor \"netcombiner/*\"\nanchor \"netcombiner/*\"\n", "pass in quick inet proto udp from {198.51.100.0/24} to {(self)} port {4725} keep state",
		"pass in quick inet6 proto udp from {2001:db8::/32} to {(self)} port {4725} keep state", "pass in quick inet6 proto 253 from {any} to {(self)} keep state",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %q in\n%s", want, rules)
		}
	}
}
