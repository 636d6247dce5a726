//go:build linux

package testbed

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

const (
	// manyHomes is how many there are unless told.
	manyHomes = 100
	// manySettle is how long the tunnels rest before they count as idle, and
	// manyFor how long they are watched: the keepalives of 15 s are in it.
	manySettle = 5 * time.Second
	manyFor    = 30 * time.Second
)

// evaluateMany has one VPS serve many homes, a remote portal each, all connected and
// idle, and tells what they take. The homes stand on one other machine, whose
// portals are not in the figures.
func evaluateMany(ctx context.Context, e *evaluation) error {
	count := cmp.Or(e.Count, manyHomes)
	m, err := newMany(e.Program)
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.start(ctx, count); err != nil {
		return err
	}
	if err := pause(ctx, manySettle); err != nil {
		return err
	}
	name := fmt.Sprintf("%d idle", count)
	var together, wakes []float64
	for range e.Runs {
		used, times, err := m.watch(ctx, manyFor)
		if err != nil {
			return err
		}
		together = append(together, 100*used.Seconds()/manyFor.Seconds())
		wakes = append(wakes, float64(times)/manyFor.Seconds()/float64(count))
	}
	e.add(name, "CPU of all, of one core", "%", AtMost(2), together)
	e.add(name, "each put on a processor", "times/s", nil, wakes)
	var shares, wholes []float64
	for _, p := range m.host.daemons {
		pss, rss := measure.Share(p.pid)
		shares, wholes = append(shares, float64(pss)/1e6), append(wholes, float64(rss)/1e6)
	}
	e.add(name, "memory of each (Rss, the program's own pages included)", "MB", AlwaysAtMost(12), wholes)
	e.add(name, "memory of each (Pss, pages in common divided among them)", "MB", AlwaysAtMost(12), shares)
	return m.allUp()
}

// many is a VPS and the homes' machine, with a cable between them.
type many struct {
	program     string
	host, homes manyMachine
}

type manyMachine struct {
	*netns.Namespace
	address netip.Prefix
	daemons []*manyDaemon
}

type manyDaemon struct {
	iface string
	pid   int
	cmd   *exec.Cmd
	out   *tail
}

func newMany(program string) (m *many, err error) {
	m = &many{program: cmp.Or(program, lab.Program)}
	m.host.address, m.homes.address = netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24")
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.host.Namespace, err = netns.New("host"); err != nil {
		return
	}
	if m.homes.Namespace, err = netns.New("homes"); err != nil {
		return
	}
	if err = netns.Veth(m.host.Namespace, "eth0", m.homes.Namespace, "eth0"); err != nil {
		return
	}
	for _, a := range []*manyMachine{&m.host, &m.homes} {
		if err = a.Address("eth0", a.address); err != nil {
			return
		}
	}
	err = m.host.Route(netip.MustParsePrefix("0.0.0.0/0"), m.homes.address.Addr(), "eth0", 0, 0)
	return
}

func (m *many) close() {
	for _, a := range []*manyMachine{&m.homes, &m.host} {
		if a.Namespace != nil {
			a.Close()
		}
		for _, d := range a.daemons {
			if d.cmd != nil {
				d.cmd.Wait()
			}
		}
	}
}

// start starts a tunnel for each home, at the places that config.Free finds, and waits until
// all are up.
func (m *many) start(ctx context.Context, count int) error {
	var all []config.Instance
	for i := range count {
		next, err := m.startHome(fmt.Sprintf("nc%d", i), all)
		if err != nil {
			return err
		}
		all = append(all, next)
	}
	return m.awaitUp(ctx)
}

// startHome starts one more tunnel, both its portals.
func (m *many) startHome(iface string, existing []config.Instance) (next config.Instance, err error) {
	place, err := config.Free(iface, existing, nil)
	if err != nil {
		return next, err
	}
	head := fmt.Sprintf("[Interface]\nKey = %s\n", config.GenerateKey().Base64())
	far := fmt.Sprintf("%sRole = remote\nRouting = nat\nAddress = %v, %v\n[Listen]\nAddress = [::]:%d\n", head, place.Remote[0], place.Remote[1], place.Port)
	near := fmt.Sprintf("%sRole = local\nAddress = %v, %v\n[Path]\nBind = eth0\nRemote = %v:%d\n", head, place.Local[0], place.Local[1], m.host.address.Addr(), place.Port)
	c, err := config.Parse(iface+".conf", strings.NewReader(far))
	if err == nil {
		err = m.startOn(&m.host, iface, far)
	}
	if err == nil {
		err = m.startOn(&m.homes, iface, near)
	}
	if err != nil {
		return next, err
	}
	return config.Named(iface+".conf", c), nil
}

// awaitUp waits until all tunnels are up, but not for ever.
func (m *many) awaitUp(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; {
		err := m.allUp()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func manyFile(iface string) string { return "/run/netcombiner/" + iface + ".conf" }

func (m *many) startOn(a *manyMachine, iface, text string) error {
	file := manyFile(iface)
	if err := a.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	d := &manyDaemon{iface: iface, out: &tail{}}
	a.daemons = append(a.daemons, d)
	return d.start(a, m.program, file)
}

// start starts the daemon, again after its end.
func (d *manyDaemon) start(on *manyMachine, program, file string) (err error) {
	d.cmd, err = on.Start(io.Writer(d.out), program, "-f", "--config", file, d.iface)
	if err == nil {
		d.pid = d.cmd.Process.Pid
	}
	return err
}

// allUp says which tunnel is not up.
func (m *many) allUp() error {
	return m.host.Do(func() error {
		for _, d := range m.host.daemons {
			if err := d.up(); err != nil {
				return fmt.Errorf("%s: %w: %s", d.iface, err, d.out)
			}
		}
		return nil
	})
}

func (d *manyDaemon) up() error {
	c, err := control.Dial(d.iface)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.Status()
	if err != nil {
		return err
	}
	if len(s.Paths) != 1 || s.Paths[0].State != "up" {
		return fmt.Errorf("its path is not up: the session is %q", s.Session.State)
	}
	return nil
}

// watch tells what the portals of the host do while nothing happens.
func (m *many) watch(ctx context.Context, long time.Duration) (used time.Duration, times int64, err error) {
	before := make([]measure.Ran, len(m.host.daemons))
	for i, d := range m.host.daemons {
		before[i] = measure.RanSoFar(d.pid)
	}
	if err := pause(ctx, long); err != nil {
		return 0, 0, err
	}
	for i, d := range m.host.daemons {
		after := measure.RanSoFar(d.pid)
		used += after.For - before[i].For
		times += after.Times - before[i].Times
	}
	return used, times, nil
}
