package tundevice

import (
	"net/netip"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"nc0", "home-2", "a", "nc0.1_x", "abcdefghijklmno"} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{"", "0nc", ".", "..", "nc 0", "nc/0", "nc%d", "nc\x00", "nc;0", "é", "abcdefghijklmnop"} {
		if err := CheckName(name); err == nil {
			t.Errorf("CheckName(%q) = nil, want an error", name)
		}
	}
}

func TestPeer(t *testing.T) {
	for own, want := range map[string]string{
		"172.19.152.3/31": "172.19.152.2",
		"172.19.152.2/31": "172.19.152.3",
		"fd19:152::3/127": "fd19:152::2",
		"10.0.0.1/30":     "10.0.0.2",
		"10.0.0.6/30":     "10.0.0.5",
		"fd00::2/126":     "fd00::1",
		"10.0.0.0/30":     "",
		"10.0.0.1/24":     "",
		"10.0.0.1/32":     "",
		"fd00::1/64":      "",
	} {
		peer, ok := Peer(netip.MustParsePrefix(own))
		if ok != (want != "") || ok && peer.String() != want {
			t.Errorf("Peer(%s) = %v, %v, want %q", own, peer, ok, want)
		}
	}
}
