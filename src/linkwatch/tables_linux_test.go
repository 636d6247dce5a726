package linkwatch

import (
	"context"
	"testing"
	"time"

	"netcombiner/src/routing/nstest"
)

func TestTables(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Run("nft add table inet other", "nft add chain inet other c", "nft add rule inet other c counter")
	ctx, cancel := context.WithCancel(context.Background())
	var changes <-chan struct{}
	var err error
	ns.Do(func() { changes, err = Tables(ctx, func(table string) bool { return table == "ours" }) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		for range changes {
		}
	}()
	told := func(command string, want bool) {
		t.Helper()
		ns.Run(command)
		select {
		case <-changes:
			if !want {
				t.Errorf("told of %q", command)
			}
		case <-time.After(map[bool]time.Duration{true: 5 * time.Second, false: 100 * time.Millisecond}[want]):
			if want {
				t.Errorf("not told of %q", command)
			}
		}
	}
	told("nft add table inet ours", false)
	told("nft add chain inet ours c", false)
	told("nft add rule inet ours c counter", false)
	told("nft flush table inet other", false)
	told("nft add set inet ours s { type ipv4_addr; }", true)
	told("nft add element inet ours s { 192.0.2.1 }", false)
	told("nft delete element inet ours s { 192.0.2.1 }", false)
	told("nft add set inet other s { type ipv4_addr; }", false)
	told("nft flush chain inet ours c", true)
	told("nft delete chain inet ours c", true)
	told("nft delete table inet other", false)
	told("nft flush ruleset", true)
}

func FuzzTables(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 'o', 'u', 'r', 's', 0, 0, 0, 0, 4, 0, 2, 0})
	f.Add([]byte{24, 0, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		asked := 0
		changed := tableChanged(datagram, func(string) bool { asked++; return false })
		if well := eachMessage(datagram, func(uint16, []byte) {}); changed == well {
			t.Fatalf("changed %v though nobody said so, well-formed %v", changed, well)
		}
		if asked > len(datagram)/4 {
			t.Fatalf("asked %d times for %d bytes", asked, len(datagram))
		}
	})
}
