package tundevice

import (
	"os/exec"
	"testing"

	"netcombiner/src/routing/nstest"
)

// A name is free that nobody has, or a TUN that was made to last.
func TestFree(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Do(func() {
		for _, args := range []string{
			"link add nc1 type veth peer name nc2", "tuntap add dev nc3 mode tun", "tuntap add dev nc4 mode tap", "tuntap add dev nc5 mode tun multi_queue",
		} {
			if out, err := exec.Command("sh", "-c", "ip "+args).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", args, err, out)
			}
		}
		for name, free := range map[string]bool{"nc0": true, "nc1": false, "nc3": true, "nc4": false, "nc5": false, "lo": false} {
			if err := Free(name); (err == nil) != free {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
