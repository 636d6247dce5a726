package routing

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

// Try says what Apply then does, and changes nothing.
func TestTryIsApply(t *testing.T) {
	for name, c := range bsdCases() {
		t.Run(name, func(t *testing.T) {
			f := newFakeBSD(c.host)
			tried(t, newBSD(f), c.spec, func() int { return f.changes })
		})
	}
	every(t, func(t *testing.T, spec Spec, host Host) {
		f := newFake(t, host)
		tried(t, f, spec, func() int { return f.changes })
	})
}

func tried(t *testing.T, sys system, spec Spec, changes func() int) {
	t.Helper()
	dir := t.TempDir()
	steps, notes, err := try(sys, dir, spec)
	if left, _ := os.ReadDir(dir); changes() != 0 || len(left) > 0 {
		t.Fatalf("%d changes, and %v", changes(), left)
	}
	r, failed := apply(sys, dir, spec)
	if (err == nil) != (failed == nil) {
		t.Fatalf("tried: %v, done: %v", err, failed)
	}
	if failed != nil {
		return
	}
	if diff := cmp.Diff(commands(r.Steps()), commands(steps)); diff != "" {
		t.Errorf("not what was tried:\n%s", diff)
	}
	if diff := cmp.Diff(r.Notes(), notes); diff != "" {
		t.Errorf("other notes:\n%s", diff)
	}
	if err := r.Undo(); err != nil {
		t.Error(err)
	}
}

func commands(steps []Step) (list []string) {
	for _, s := range steps {
		list = append(list, s.String())
	}
	return list
}

// What stands in the way of an Apply is what Try says, too.
func TestTryFails(t *testing.T) {
	f := newFakeBSD(bsdRouter(1))
	_, _, err := try(newBSD(f), t.TempDir(), bsdLocal(config.RoutingNone, config.EgressFIB))
	if err == nil || !strings.Contains(err.Error(), "net.fibs=2") {
		t.Error(err)
	}
	if steps, _, err := try(newBSD(f), t.TempDir(), Spec{Interface: "nc0", Role: config.Remote, Mode: config.RoutingNone}); steps != nil || err != nil {
		t.Error(steps, err)
	}
	if _, _, err := try(newBSD(f), t.TempDir(), Spec{Interface: "../nc0"}); err == nil {
		t.Error("a name that is none was taken")
	}
}

func TestMeansOfFreeBSD(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fakeBSD)
		want   string // of pf; "": it can be used
	}{
		"well":      {func(*fakeBSD) {}, ""},
		"no pf":     {func(f *fakeBSD) { f.pf = "" }, "/dev/pf: No such file or directory): sysrc pf_enable=YES"},
		"pf off":    {func(f *fakeBSD) { f.pf = "Status: Disabled for 0 days\n" }, "switched off: sysrc pf_enable=YES"},
		"no anchor": {func(f *fakeBSD) { f.main = map[string]string{} }, "put into /etc/pf.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeBSD(bsdRouter(3))
			c.change(f)
			means := newBSD(f).means()
			if len(means) != 2 || means[0].Name != "pf" || means[1].Name != "forwarding" || means[1].Missing != nil || !strings.Contains(means[1].Found, bsdForward4+" is 0") {
				t.Fatalf("%+v", means)
			}
			said := ""
			if means[0].Missing != nil {
				said = means[0].Missing.Error()
			}
			if c.want == "" && said != "" || !strings.Contains(said, c.want) || strings.Contains(said, "\n") {
				t.Errorf("%q, want %q", said, c.want)
			}
		})
	}
}

func TestLend(t *testing.T) {
	f := newFakeBSD(bsdRouter(3))
	before := f.state()
	test := route(0, "192.0.2.116/31", "", "em1")
	fib, giveBack, err := newBSD(f).lend(test)
	if err != nil || fib != 2 || f.changes != 1 {
		t.Fatalf("FIB %d: %v", fib, err)
	}
	// Somebody else's stays.
	again, giveNothing, err := newBSD(f).lend(test)
	if err != nil || again != 2 || giveNothing() != nil || f.changes != 1 {
		t.Fatalf("FIB %d: %v", again, err)
	}
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.state()); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
	if _, _, err := newBSD(newFakeBSD(bsdRouter(1))).lend(test); err == nil || !strings.Contains(err.Error(), "net.fibs=3 into /boot/loader.conf") {
		t.Errorf("with one FIB: %v", err)
	}
}
