package routing

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netcombiner/src/routing/nstest"
)

// A signal that was meant for the group of the daemon may hit nft before it
// has left that group.
func TestKilledNFTIsRunAgain(t *testing.T) {
	ns := nstest.New(t, "host")
	real, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft")
	}
	dir := t.TempDir()
	killed := filepath.Join(dir, "killed")
	script := "#!/bin/sh\n[ -e " + killed + " ] || { touch " + killed + "; kill -INT $$; }\nexec " + real + ` "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ns.Run("nft add table inet netcombiner-nc0")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ns.Do(func() {
		if err := deleteRuleset("netcombiner-nc0"); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(killed); err != nil {
		t.Error("nothing was killed: the test shows nothing")
	}
	if out := ns.Run("nft list tables"); strings.Contains(out, "netcombiner") {
		t.Errorf("left: %s", out)
	}
}

func TestAddressesOfSets(t *testing.T) {
	for listing, want := range map[string]string{
		"table inet fw4 {\n\tset banks {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t}\n}\n": "ip",
		"table inet fw4 {\n\tset films {\n\t\ttype ipv6_addr; flags timeout;\n\t}\n}\n":     "",
		"\t\ttypeof ip6 daddr\n":              "ip6",
		"\t\ttype ipv4_addr . inet_service\n": "",
		"\t\ttype ether_addr\n":               "",
		"":                                    "",
	} {
		if got := addressesOf(listing); got != want {
			t.Errorf("%q: %q, want %q", listing, got, want)
		}
	}
}
