//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// Portal is a running daemon.
type Portal struct {
	Role    string // local or remote
	Machine *netns.Namespace

	lab    *Lab
	config TunnelConfig
	cmd    *exec.Cmd
	exited chan struct{}
	log    logFile
}

// Start starts the daemon, or starts it again.
func (p *Portal) Start() error {
	var err error
	p.cmd, err = p.Machine.Start(&p.log, p.config.Program, "-f", "--config", p.configFile(), Interface)
	if err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(p.cmd, p.exited)
	if p.config.Routing != "none" {
		return nil
	}
	err = p.route()
	if err != nil {
		// Most likely the daemon ended, and what it said tells more.
		select {
		case <-p.exited:
			return p.Alive()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return err
}

// Alive says whether the daemon has ended, and what it said last.
func (p *Portal) Alive() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s portal ended (%v):\n%s", p.Role, p.cmd.ProcessState, p.log.tail())
	default:
		return nil
	}
}

// Kill ends the daemon with kill -9 and waits until it is gone.
func (p *Portal) Kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// Stop ends the daemon in the ordinary way, within two seconds.
func (p *Portal) Stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.exited:
	case <-time.After(2 * time.Second):
		p.Kill()
	}
}

// Status asks the daemon on its control socket, as `netcombiner show` does.
func (p *Portal) Status() (*control.Status, error) {
	var c *control.Client
	err := p.Machine.Do(func() (err error) {
		c, err = control.Dial(Interface)
		return err
	})
	if err == nil {
		defer c.Close()
		var s *control.Status
		if s, err = c.Status(); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("status of the %s portal: %w", p.Role, err)
}

// Command runs the program on the portal's machine, as a person there would:
// Command("set", Interface, "scheduler", "greedy").
func (p *Portal) Command(args ...string) error {
	var out bytes.Buffer
	cmd, err := p.Machine.Start(&out, append([]string{p.config.Program}, args...)...)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("netcombiner %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Memory is what the daemon holds of the host's, in bytes; 0 if it does not run.
func (p *Portal) Memory() int64 { return measure.Memory(p.cmd.Process.Pid, "VmRSS") }

func (p *Portal) configFile() string { return "/run/netcombiner/" + Interface + ".conf" }

// text is the configuration file.
func (p *Portal) text(key string) string {
	var b strings.Builder
	set := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s = %s\n", key, value)
		}
	}
	inner := map[string]Host{"local": tunnelLocal, "remote": tunnelRemote}[p.Role]
	b.WriteString("[Interface]\n")
	set("Role", p.Role)
	set("Key", key)
	set("Address", fmt.Sprintf("%v/31, %v/127", inner.V4, inner.V6))
	set("Suite", p.config.Suite)
	set("Scheduler", p.config.Scheduler)
	set("Routing", p.config.Routing)
	if p.config.Routing == "portal" && p.Role == "local" {
		set("ClientInterface", "lan0")
		set("PublicAddress", fmt.Sprintf("%v, %v", Remote.V4, Remote.V6))
	}
	if p.Role == "remote" {
		b.WriteString("\n[Listen]\n")
		set("Transport", p.config.Transport)
		set("Address", p.place(netip.IPv6Unspecified()))
		return b.String()
	}
	for _, l := range p.lab.Links {
		b.WriteString("\n[Path]\n")
		set("Name", l.Config.Name)
		set("Transport", p.config.Transport)
		set("Bind", l.Config.Name)
		set("Remote", p.place(Remote.V4))
		set("Congestion", p.config.Congestion)
		if l.Config.Metric > 0 {
			set("Metric", strconv.Itoa(l.Config.Metric))
		}
	}
	return b.String()
}

// place is addr, with the remote portal's port where the transport has ports.
func (p *Portal) place(addr netip.Addr) string {
	if p.config.Transport == "ip" {
		return addr.String()
	}
	return netip.AddrPortFrom(addr, Port).String()
}

// route adds what Routing = none leaves to the lab, once nc0 is there: the
// client's traffic goes through the tunnel, and the internet knows that the
// client is behind the remote portal.
func (p *Portal) route() error {
	deadline := time.Now().Add(5 * time.Second)
	for !p.Machine.Up(Interface) {
		if err := p.Alive(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s portal: no %s after 5 s:\n%s", p.Role, Interface, p.log.tail())
		}
		time.Sleep(5 * time.Millisecond)
	}
	forward := errors.Join(p.Machine.Sysctl("net.ipv4.ip_forward", "1"), p.Machine.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	none := netip.Addr{}
	if p.Role == "local" {
		const table = 20
		return errors.Join(forward, p.Machine.Rule("lan0", table, 20),
			p.Machine.Route(anywhere[0], none, Interface, 0, table),
			p.Machine.Route(anywhere[1], none, Interface, 0, table))
	}
	home := Client.prefixes()
	return errors.Join(forward,
		p.Machine.Route(home[0], none, Interface, 0, 0),
		p.Machine.Route(home[1], none, Interface, 0, 0),
		p.lab.Internet.Route(home[0], Remote.V4, "remote0", 0, 0),
		p.lab.Internet.Route(home[1], Remote.V6, "remote0", 0, 0))
}

// logFile takes a daemon's output, from its first start to its last.
type logFile struct {
	mu   sync.Mutex
	file *os.File // may be nil
	last []byte
}

func (l *logFile) open(dir, name string) (err error) {
	if dir != "" {
		l.file, err = os.Create(filepath.Join(dir, name+".log"))
	}
	return err
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, b...)
	if extra := len(l.last) - 4096; extra > 0 {
		l.last = append(l.last[:0], l.last[extra:]...)
	}
	if l.file != nil {
		return l.file.Write(b)
	}
	return len(b), nil
}

func (l *logFile) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}

func (l *logFile) close() {
	if l.file != nil {
		l.file.Close()
	}
}
