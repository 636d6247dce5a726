package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// remoteAt is a remote portal at a place, as `init` would write it.
func remoteAt(t *testing.T, iface string, p Place, key string) Instance {
	t.Helper()
	text := fmt.Sprintf("[Interface]\nRole = remote\nKey = %s\nAddress = %v, %v\n\n[Listen]\nAddress = [::]:%d\n", key, p.Remote[0], p.Remote[1], p.Port)
	c, err := Parse(iface+".conf", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return Named("/etc/netcombiner/"+iface+".conf", c)
}

func TestPlaces(t *testing.T) {
	free := func(iface string, existing ...Instance) string {
		p, err := Free(iface, existing, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.Port, p.Remote, p.Local)
	}
	const first = "4725 [172.19.152.2/31 fd19:152::2/127] [172.19.152.3/31 fd19:152::3/127]"
	const second = "4726 [172.19.152.4/31 fd19:152::4/127] [172.19.152.5/31 fd19:152::5/127]"
	const nc57 = "4782 [172.19.152.116/31 fd19:152::74/127] [172.19.152.117/31 fd19:152::75/127]"
	for name, want := range map[string]string{"nc0": first, "home": first, "nc57": nc57, "nc4000000000000000000000": first, "nc1000": first} {
		if got := free(name); got != want {
			t.Errorf("%s alone: %s, want %s", name, got, want)
		}
	}
	one, _ := Free("nc0", nil, nil)
	nc0 := remoteAt(t, "nc0", one, GenerateKey().Base64())
	if got := free("home", nc0); got != second {
		t.Errorf("beside nc0: %s, want %s", got, second)
	}
	if got := free("smith0", nc0); got != second {
		t.Errorf("smith0 beside nc0: %s, want %s", got, second)
	}

	// Every one of a number's things may be taken by hand.
	for _, text := range []string{
		"Address = 172.19.0.1/16", "Address = fd19:152::75/120", "\n[Listen]\nAddress = 192.0.2.7:4782",
		"\n[Listen]\nTransport = tcp\nAddress = 0.0.0.0:4782",
	} {
		text = "[Interface]\nRole = remote\nKey = " + testKey + "\n" + text
		if !strings.Contains(text, "[Listen]") {
			text += "\n[Listen]\nAddress = [::]:1"
		}
		c, err := Parse("x.conf", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Free("nc57", []Instance{Named("x.conf", c)}, nil)
		if taken := err != nil || p.Port != 4782; !taken {
			t.Errorf("%q leaves %v", text, p)
		}
	}

	// What the host uses otherwise is the caller's to know.
	p, err := Free("nc0", nil, func(p Place) bool { return p.Port > 4730 })
	if err != nil || p.Port != 4731 {
		t.Errorf("with ports in use: %v, %v", p, err)
	}
	if _, err := Free("nc0", nil, func(Place) bool { return false }); err == nil {
		t.Error("a full host has a place")
	}
}

// A whole host: no two of its tunnels clash, and all addresses are right ones.
func TestAHundredPlaces(t *testing.T) {
	var all []Instance
	for i := range 300 {
		name := fmt.Sprintf("nc%d", i)
		p, err := Free(name, all, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Remote {
			if p.Remote[i].Masked() != p.Local[i].Masked() || p.Remote[i] == p.Local[i] || p.Remote[i].Masked() != p.Remote[i] {
				t.Fatalf("%s: %v and %v are no pair", name, p.Remote[i], p.Local[i])
			}
		}
		all = append(all, remoteAt(t, name, p, GenerateKey().Base64()))
	}
	if c := Clashes(all); c != nil {
		t.Errorf("clashes:\n%v", c)
	}
	last := netip.MustParseAddr("172.19.153.0")
	if !slices.ContainsFunc(all, func(i Instance) bool { return i.Config.Interface.Address[0].Addr() == last }) {
		t.Errorf("no tunnel has %v: the carry is wrong", last)
	}
}

func TestClashes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := GenerateKey().Base64()
	write("a.conf", "[Interface]\nRole = remote\nKey = "+testKey+"\nAddress = 172.19.152.2/31\n[Listen]\nAddress = [::]:4725\n")
	write("b.conf", "# copied\n[Interface]\nRole = remote\nAddress = 172.19.152.3/31, fe80::1/64\nKey = "+testKey+"\n[Listen]\nTransport = tcp\nAddress = 192.0.2.8:4725\n[Listen]\nAddress = 192.0.2.7:4725\n")
	write("c.conf", "[Interface]\nRole = remote\nKey = "+other+"\nAddress = fe80::1/64\nRouting = portal\nPublicAddress = 192.0.2.7\n[Listen]\nAddress = 192.0.2.7:1\n")
	write("d.conf", "[Interface]\nRole = local\nKey = "+other+"\nAddress = 10.0.0.1\n[Path]\nRemote = 192.0.2.1:4725\n")
	all, err := Instances(dir)
	if err != nil || len(all) != 4 {
		t.Fatal(len(all), err)
	}
	f := func(name string) string { return filepath.Join(dir, name) }
	want := []string{
		f("a.conf") + ":6: Address = [::]:4725: its client gets all that comes there, by the Routing = portal of " + f("c.conf") + ":5; allowed: an address that is not a PublicAddress there",
		f("b.conf") + ":4: Address = 172.19.152.3/31: overlaps with 172.19.152.2/31 of " + f("a.conf") + ":4; allowed: addresses of its own",
		f("b.conf") + ":5: Key: the one of " + f("a.conf") + ":3; allowed: a key for each tunnel (netcombiner genkey), or one home could pass for the other",
		f("b.conf") + ":10: Address = 192.0.2.7:4725: taken by the [Listen] of " + f("a.conf") + ":6; allowed: another port or address",
		f("b.conf") + ":10: Address = 192.0.2.7:4725: its client gets all that comes there, by the Routing = portal of " + f("c.conf") + ":5; allowed: an address that is not a PublicAddress there",
	}
	got := strings.Split(Clashes(all).Error(), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("clashes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if twice := Clashes([]Instance{all[3], all[3]}); len(twice) != 3 || !strings.Contains(twice.Error(), "interface d is that of "+f("d.conf")) {
		t.Errorf("one file twice: %v", twice)
	}

	// The metrics are one more port, whichever tunnel listens there.
	const head = "[Interface]\nKey = %s\nRole = %s\nMetrics = 127.0.0.1:%d\n"
	near := head + "[Path]\nRemote = 192.0.2.1:4725\n"
	write("m1.conf", fmt.Sprintf(near, GenerateKey().Base64(), "local", 443))
	write("m2.conf", fmt.Sprintf(near, GenerateKey().Base64(), "local", 443))
	write("m3.conf", fmt.Sprintf(head+"[Listen]\nTransport = tcp\nAddress = [::]:443\n", GenerateKey().Base64(), "remote", 9487))
	var measured []Instance
	for _, name := range []string{"m1.conf", "m2.conf", "m3.conf"} {
		c, err := Load(f(name))
		if err != nil {
			t.Fatal(err)
		}
		measured = append(measured, Named(f(name), c))
		os.Remove(f(name))
	}
	const taken = ": taken by the Metrics of %s:4; allowed: another port or address"
	want = []string{
		f("m2.conf") + ":4: Metrics = 127.0.0.1:443" + fmt.Sprintf(taken, f("m1.conf")),
		f("m3.conf") + ":7: Address = [::]:443" + fmt.Sprintf(taken, f("m1.conf")),
		f("m3.conf") + ":7: Address = [::]:443" + fmt.Sprintf(taken, f("m2.conf")),
	}
	if got := strings.Split(Clashes(measured).Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("clashes of metrics:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// The two ends of one tunnel, to be copied to their hosts.
	write("far.conf", "[Interface]\nRole = remote\nKey = "+testKey+"\nAddress = 10.0.0.0/31\n[Listen]\nAddress = [::]:4725\n")
	write("near.conf", "[Interface]\nRole = local\nKey = "+testKey+"\nAddress = 10.0.0.1/31\n[Path]\nRemote = 192.0.2.1:4725\n")
	var ends []Instance
	for _, name := range []string{"far.conf", "near.conf"} {
		c, err := Load(f(name))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, Named(f(name), c))
		os.Remove(f(name))
	}
	if c := Clashes(ends); c != nil {
		t.Errorf("a tunnel's ends: %v", c)
	}

	// A broken neighbour is told, and the others are there all the same.
	write("e.conf", "[Interface\n")
	if all, err = Instances(dir); err == nil || !strings.Contains(err.Error(), "e.conf:1") || len(all) != 4 {
		t.Errorf("with a broken one: %d, %v", len(all), err)
	}
	if all, err = Instances(filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Errorf("without a folder: %d, %v", len(all), err)
	}
}
