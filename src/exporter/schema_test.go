package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The script has two portals in one namespace print what `show --json` has to
// say of a tunnel that works, of one without a session, and of all.
const script = `
ip link set lo up
run() { "$NC" "$@"; }
run ncv0 --config vps.conf
run nch0 --config home.conf
i=0
until run show nch0 | grep -q 'session: established' && run show ncv0 | grep -q '  lo  *up'; do
	i=$((i + 1)); [ $i -lt 200 ] || { echo "no session" >&2; exit 1; }; sleep 0.05
done
ping -q -c 3 -i 0.2 -I nch0 172.19.152.2 >/dev/null 2>&1 || true
run show nch0 --json > home.json
run show ncv0 --json > vps.json
run show --json > all.json
run show --metrics > metrics
run down ncv0
i=0
until run show nch0 --json > alone.json && grep -q '"failures": 1' alone.json; do
	i=$((i + 1)); [ $i -lt 200 ] || { echo "the other does not hear it" >&2; exit 1; }; sleep 0.05
done
run down nch0
`

const key = "Key = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"

var configs = map[string]string{
	"vps.conf": "[Interface]\nRole = remote\nAddress = 172.19.152.2/31\n" + key + "[Listen]\nAddress = 127.0.0.1:4725\n",
	"home.conf": "[Interface]\nRole = local\nAddress = 172.19.152.3/31\n" + key +
		"[Path]\nName = lo\nRemote = 127.0.0.1:4725\nQuota = 1GB\n[Path]\nName = gone\nBind = wwan0\nRemote = 127.0.0.1:4725\n",
}

// What the real program prints is what doc/show.schema.json says.
func TestShowIsValid(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root, and TUNs")
	}
	dir, err := os.MkdirTemp("", "nc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range configs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "netcombiner")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, "./src/cmd/netcombiner").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sh := exec.Command("unshare", "--net", "timeout", "60", "sh", "-ec", script)
	sh.Dir = dir
	sh.Env = append(os.Environ(), "NC="+program, "NETCOMBINER_RUN_DIR="+filepath.Join(dir, "run"), "NETCOMBINER_STATE_DIR="+filepath.Join(dir, "state"))
	defer func() { // of a script that failed
		for _, name := range []string{"ncv0", "nch0"} {
			down := exec.Command(program, "down", name)
			down.Env = sh.Env
			_ = down.Run()
		}
	}()
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	valid := compile(t)
	for _, name := range []string{"home.json", "vps.json", "all.json", "alone.json"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(valid, text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		for _, part := range map[string][]string{"home.json": {`"state": "established"`, `"totals"`, `"quota"`, `"state": "up"`, `"state": "down"`}, "all.json": {"[\n"}, "alone.json": {`"failures": 1`}}[name] {
			if !bytes.Contains(text, []byte(part)) {
				t.Errorf("%s shows no %s: does it still try what it should?\n%s", name, part, text)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "metrics"))
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, text)
}

// A schema that takes anything would prove nothing.
func TestTheSchemaIsStrict(t *testing.T) {
	valid := compile(t)
	text, err := json.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(valid, text); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"state":"up"`, `"state":"fine"`}, {`"loss":0`, `"loss":1.5`}, {`"mtu":1420`, `"mtu":"1420"`}, {`"rtt_ms":0,`, ``},
		{`"month":"2026-11"`, `"month":"November"`}, {`"role":"local"`, `"role":"other"`}, {`"packets":5`, `"packets":-5`},
	} {
		wrong := strings.Replace(string(text), change[0], change[1], 1)
		if wrong == string(text) || validate(valid, []byte(wrong)) == nil {
			t.Errorf("with %s for %s it is still valid:\n%s", change[1], change[0], wrong)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../doc/show.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}
