//go:build linux

package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// stage is two machines and the cables between them, plain ones: what limits a tunnel
// here is the processor. Traffic begins and ends on the machines that have the tunnel.
type stage struct {
	near, far *netns.Namespace // where the local and the remote portal run
	daemons   []*process       // near's, then far's; none without a tunnel
	server    netip.Addr       // far's, for traffic to be measured
}

// cables are the names of the cables, whose ends are 10.0.1.1 and 10.0.1.2, 10.0.2.1 and …
var cables = []string{"a", "b"}

func cableEnd(cable, end int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(cable + 1), byte(end)}), 24)
}

// newStage makes both machines.
func newStage() (s *stage, err error) {
	s = &stage{server: cableEnd(0, 2).Addr()}
	defer func() {
		if err != nil {
			s.close()
			s, err = nil, fmt.Errorf("bench: %w", err)
		}
	}()
	if s.near, err = netns.New("near"); err != nil {
		return
	}
	if s.far, err = netns.New("far"); err != nil {
		return
	}
	for _, m := range []*netns.Namespace{s.near, s.far} {
		err = errors.Join(err,
			m.Sysctl("net.ipv6.conf.default.accept_dad", "0"),
			m.Sysctl("net.ipv6.conf.default.router_solicitations", "0"),
			m.Sysctl("net.ipv4.tcp_no_metrics_save", "1"))
	}
	for i, name := range cables {
		if err == nil {
			err = netns.Veth(s.near, name, s.far, name)
		}
		if err == nil {
			err = errors.Join(s.near.Address(name, cableEnd(i, 1)), s.far.Address(name, cableEnd(i, 2)))
		}
	}
	return
}

// close ends all that runs, and the machines.
func (s *stage) close() {
	for _, d := range s.daemons {
		d.stop()
	}
	for _, m := range []*netns.Namespace{s.near, s.far} {
		if m != nil {
			m.Close()
		}
	}
}

// start starts a daemon on a machine.
func (s *stage) start(on *netns.Namespace, argv ...string) error {
	p := &process{exited: make(chan struct{})}
	cmd, err := on.Start(&p.out, argv...)
	if err != nil {
		return err
	}
	p.cmd = cmd
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	if on == s.near {
		s.daemons = append([]*process{p}, s.daemons...)
	} else {
		s.daemons = append(s.daemons, p)
	}
	return nil
}

// run runs a command on a machine to its end.
func run(on *netns.Namespace, argv ...string) error {
	var out bytes.Buffer
	cmd, err := on.Start(&out, argv...)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(out.String()))
	}
	return nil
}

// until tries every few milliseconds until there is no error, a daemon has ended, or 15 s are over.
func (s *stage) until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		last := try()
		if last == nil {
			return nil
		}
		for _, d := range s.daemons {
			select {
			case <-d.exited:
				return fmt.Errorf("%s ended (%v): %s", d.cmd.Args[0], d.cmd.ProcessState, d.out.String())
			default:
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%w: %w", err, last)
		}
	}
}

// process is a daemon that is measured.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	out    tail
}

// stop ends it in the ordinary way, within two seconds.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(2 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// processorTime is what it has used so far, its own and the kernel's work for it. The kernel
// counts in hundredths of a second.
func (p *process) processorTime() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	// The second field is a name in brackets, and may contain anything.
	_, rest, _ := strings.Cut(string(text), ") ")
	var skip string
	var user, system int64
	fmt.Sscan(rest, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &user, &system)
	return time.Duration(user+system) * time.Second / 100
}

// peakMemory is the most of the host's memory that it held at any time, in bytes.
func (p *process) peakMemory() int64 { return measure.Memory(p.cmd.Process.Pid, "VmHWM") }

// tail keeps the end of a daemon's output.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if extra := len(t.last) - 4096; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
