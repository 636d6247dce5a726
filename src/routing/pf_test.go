package routing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the pfctl of FreeBSD 14.0 prints of main rulesets: of a plain FreeBSD's, of
// such as pfSense and OPNsense make, and of one that calls nothing of ours.
func TestCalledAnchor(t *testing.T) {
	for _, c := range []struct {
		file, filter, nat string
		partial           bool
	}{
		{"freebsd", "netcombiner/nc0", "netcombiner/nc0", false},
		{"pfsense", "userrules/netcombiner-nc0", "natrules/netcombiner-nc0", false},
		{"opnsense", "netcombiner/nc0", "netcombiner/nc0", false},
		{"opnsense-bare", "", "", false},
		{"partial", "netcombiner/nc0", "netcombiner/nc0", true},
		{"both", "netcombiner/nc0", "natrules/netcombiner-nc0", false},
	} {
		t.Run(c.file, func(t *testing.T) {
			rules, err := os.ReadFile(filepath.Join("testdata", "pfctl", c.file+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			nat, filter, ok := strings.Cut(string(rules), "# -s rules\n")
			if !ok {
				t.Fatal("the sample has no rules")
			}
			gotFilter, p1 := calledAnchor(filter, "nc0", false)
			gotNAT, p2 := calledAnchor(nat, "nc0", true)
			if gotFilter != c.filter || gotNAT != c.nat || (p1+p2 != "") != c.partial {
				t.Errorf("filter %q, nat %q, partial %q", gotFilter, gotNAT, p1+p2)
			}
		})
	}
}

func TestPFEnabled(t *testing.T) {
	for info, want := range map[string]bool{
		"Status: Enabled for 3 days 02:11:09           Debug: Urgent\n\nState Table\n":        true,
		"Status: Disabled for 0 days 00:00:04          Debug: Urgent\n":                       false,
		"No ALTQ support in kernel\nALTQ related functions disabled\nStatus: Enabled for 1 d": true,
		"": false,
	} {
		if got := pfEnabled(info); got != want {
			t.Errorf("%q: %v", info, got)
		}
	}
}

func FuzzPfctl(f *testing.F) {
	f.Add("Status: Enabled\nanchor \"netcombiner/*\" all\nnat-anchor \"natrules/*\" in on em0 all\nnc0 (skip)\n")
	f.Fuzz(func(t *testing.T, text string) {
		pfEnabled(text)
		for _, nat := range []bool{false, true} {
			name, partial := calledAnchor(text, "nc0", nat)
			if name != "" && !strings.Contains(name, "netcombiner") || name == "" && partial != "" {
				t.Errorf("%q, %q", name, partial)
			}
		}
		warnSkipped(text, text)
	})
}
