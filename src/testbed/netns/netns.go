//go:build linux

// Package netns makes machines out of namespaces. A Namespace is one OS thread
// that has its own network and mount namespace, and everything that was
// started from it.
//
// The namespaces have no file that holds them: they live as long as the
// thread and its children, and the children are told to die with the thread.
// So whatever ends this process, a panic or kill -9, the kernel takes
// everything down with it: links, addresses, rules, files.
// Only a name in /run/netns is left then, a dangling symbolic link which the
// next start removes.
package netns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// names is where ip-netns(8) looks for namespaces.
const names = "/run/netns"

// prefix begins the name of each of our namespaces: prefix, process, "-", Name.
const prefix = "nctest"

// Namespace is a machine of its own as far as network and /run are concerned.
type Namespace struct {
	Name string

	calls chan func()
	done  chan struct{}
	tid   int
	link  string // in /run/netns; empty: none
}

// Privileged says why namespaces cannot be made here, or returns nil.
func Privileged() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run this with sudo")
	}
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		return fmt.Errorf("no TUN/TAP here (%w): modprobe tun, or make the device node", err)
	} else {
		f.Close()
	}
	return nil
}

// New makes a namespace with its loopback up. Its /run is empty and its own,
// so a daemon's sockets and files there meet nobody else's. While it lives,
// `ip netns exec nctest<pid>-<name>` enters its network.
func New(name string) (*Namespace, error) {
	n := &Namespace{Name: name, calls: make(chan func()), done: make(chan struct{})}
	made := make(chan error)
	go n.run(made)
	if err := <-made; err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	sweep()
	if err := os.MkdirAll(names, 0o755); err == nil {
		link := filepath.Join(names, fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), name))
		if os.Symlink(n.Path(), link) == nil { // only a convenience: two labs in one process share names
			n.link = link
		}
	}
	return n, nil
}

// run is the namespace's thread. It is never unlocked, so it ends with run and
// nobody inherits its namespaces.
func (n *Namespace) run(made chan<- error) {
	defer close(n.done)
	runtime.LockOSThread()
	if err := enter(); err != nil {
		made <- err
		return
	}
	n.tid = unix.Gettid()
	made <- nil
	for f := range n.calls {
		f()
	}
}

func enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	// sysfs shows the network namespace that mounted it.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	if target, err := os.Readlink("/var/run"); err != nil || filepath.Base(target) != "run" {
		if err := unix.Mount("/run", "/var/run", "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /var/run: %w", err)
		}
	}
	return up("lo")
}

// Prefer puts this process, and all that it starts in namespaces from now on,
// before the host's other work, which would show in what is measured. Where
// that is refused (some containers), nothing changes.
func Prefer() {
	const niceness = -15
	tasks, _ := os.ReadDir("/proc/self/task") // niceness is each thread's own
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, niceness)
		}
	}
}

// Path is the file by which others reach the network namespace, Mounts the
// one for the mount namespace.
func (n *Namespace) Path() string   { return n.file("net") }
func (n *Namespace) Mounts() string { return n.file("mnt") }

func (n *Namespace) file(kind string) string {
	return fmt.Sprintf("/proc/%d/task/%d/ns/%s", os.Getpid(), n.tid, kind)
}

// Do runs f inside the namespace and returns what it returns. Sockets opened
// by f stay inside, wherever they are used later; goroutines started by f
// do not. Calls run one after another.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	n.calls <- func() { result <- f() }
	return <-result
}

// WriteFile writes a file as the namespace sees it; parents are made.
func (n *Namespace) WriteFile(path string, data []byte, mode os.FileMode) error {
	return n.Do(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, data, mode)
	})
}

// Sysctl sets a kernel parameter, "net.ipv4.ip_forward" say, in this
// namespace only; others than net. are refused, as they are the host's.
func (n *Namespace) Sysctl(key, value string) error {
	if !strings.HasPrefix(key, "net.") {
		return fmt.Errorf("sysctl %s belongs to the whole host", key)
	}
	return n.Do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0)
	})
}

// Start starts a command inside the namespace, which ends with it at the
// latest. Its output goes to out, which may be nil. The caller must Wait.
func (n *Namespace) Start(out io.Writer, argv ...string) (*exec.Cmd, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	// The signal comes when the thread ends that forked, which is the namespace's.
	// A session of its own keeps a terminal's ^C for us, who then end it in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if err := n.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("in namespace %s: %w", n.Name, err)
	}
	// Niceness counts within a session only, where the kernel groups tasks by
	// it (sched_autogroup); so the new session gets ours as a whole.
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		nice := 20 - raw // as the system call has it, to be above 0
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", cmd.Process.Pid), []byte(strconv.Itoa(nice)), 0)
	}
	return cmd, nil
}

// Close ends every process left in the namespace, and the namespace.
func (n *Namespace) Close() {
	if n.link != "" {
		os.Remove(n.link)
	}
	n.killAll()
	close(n.calls)
	<-n.done
}

// killAll ends what runs in the namespace but is not this process: daemons
// that detached themselves among them.
func (n *Namespace) killAll() {
	ours, err := os.Readlink(n.Path())
	if err != nil {
		return
	}
	self := strconv.Itoa(os.Getpid())
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || e.Name() == self {
			continue
		}
		if theirs, err := os.Readlink("/proc/" + e.Name() + "/ns/net"); err == nil && theirs == ours {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// sweep removes names that killed processes of ours left.
func sweep() {
	links, _ := filepath.Glob(filepath.Join(names, prefix+"*-*"))
	for _, link := range links {
		if _, err := os.Stat(link); err == nil {
			continue
		}
		if _, err := os.Readlink(link); err == nil {
			os.Remove(link)
		}
	}
}
