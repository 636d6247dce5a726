package linkwatch

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a real kernel said, with the answers that it gave to whoever asked for
// its devices, becomes the events of what was done to it.
func TestFollowARecording(t *testing.T) {
	b, err := os.ReadFile("../rtsock/testdata/freebsd-14.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	at := 0
	next := func() ([]byte, error) { // the next list of devices
		for _, line := range lines[at:] {
			if data, ok := strings.CutPrefix(line, "dump interfaces: "); ok {
				return hex.DecodeString(data)
			}
		}
		t.Fatal("no further list")
		return nil, nil
	}
	f := newFollower(next)
	f.learn()
	got, step := map[string][]Event{}, "before"
	f.emit = func(e Event) { got[step] = append(got[step], e) }
	for i, line := range lines {
		at = i
		if name, ok := strings.CutPrefix(line, "step "); ok {
			step = name
		}
		for fib, prefix := range []string{"fib 0: ", "fib 1: "} {
			if data, ok := strings.CutPrefix(line, prefix); ok {
				message, err := hex.DecodeString(data)
				if err != nil {
					t.Fatal(err)
				}
				f.heard(message, fib)
			}
		}
	}
	const wan = "tap1.5"
	want := map[string][]Event{
		"before":                        {{"lo0", AddrAdded}, {"lo0", LinkUp}, {"lo0", AddrAdded}}, // up by its address
		"tap1.5 up, of unknown carrier": {{wan, LinkUp}},
		"carrier":                       {{"tap1", LinkUp}},
		"address 192.0.2.2/24":          {{wan, AddrAdded}},
		"address 2001:db8::2/64":        {{wan, AddrAdded}},
		"point-to-point gif7 10.7.0.1 to 10.7.0.2": {{"gif7", AddrAdded}},
		"default by 192.0.2.1 in FIB 0":            {{wan, RouteChanged}},
		"default by fe80::1 in FIB 0":              {{wan, RouteChanged}},
		"change default to 192.0.2.9":              {{wan, RouteChanged}},
		"default by 192.0.2.1 in FIB 1":            {{wan, RouteChanged}},
		"delete default in FIB 0":                  {{wan, RouteChanged}},
		"carrier lost":                             {{"tap1", LinkDown}, {wan, LinkDown}},
		"carrier back":                             {{wan, LinkUp}, {"tap1", LinkUp}},
		"address 192.0.2.2 gone":                   {{wan, AddrRemoved}},
		"address 2001:db8::2 gone":                 {{wan, AddrRemoved}},
		"renamed wan1":                             {{wan, LinkDown}, {"wan1", LinkUp}},
		"down":                                     {{"wan1", LinkDown}},
		"up":                                       {{"wan1", LinkUp}},
		"destroyed":                                {{"wan1", LinkDown}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
