package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/control"
)

// Words of this file:
//
//	parent   the process that the user started; it returns when all is ready
//	child    the same program once more, in a session of its own: the daemon
//	report   a pipe on which the child says "ready", or what went wrong
//
// The child inherits the open files that nothing else can carry over: report,
// TUN and lock. The configuration comes on its stdin, so that it is the one the
// parent has validated, and no secret is ever on a command line or in an
// environment.

// childMark in the environment says that this process is a child.
const childMark = "NETCOMBINER_DETACHED"

// The child's inherited files.
const (
	reportFD = 3 + iota
	tunFD
	lockFD
)

// How long the parent waits for a child that starts, and for one that was
// told to end.
const (
	readyTimeout = 30 * time.Second
	endTimeout   = 10 * time.Second
)

// readyWord is the report of a child that runs.
const readyWord = "ready"

// IsChild says that this process is to call Child.
func IsChild() bool { return os.Getenv(childMark) != "" }

// Detach starts a tunnel in a process of its own and returns when it runs: its
// interface is up, its control socket answers. Otherwise nothing is left.
func Detach(o Options) error {
	ProtectSecrets()
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(interrupts)

	t := newTunnel(o, nil)
	lock, dev, err := t.prepare()
	if err == nil {
		err = t.handOver(lock, dev, interrupts)
	}
	if err != nil {
		return errors.Join(err, t.stop())
	}
	return lock.Leave()
}

// handOver starts the child and waits for its report.
func (t *tunnel) handOver(lock *control.Lock, dev TUN, interrupts <-chan os.Signal) error {
	report, childReport, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	defer childReport.Close()
	childConfig, feed, err := os.Pipe()
	if err != nil {
		return err
	}
	defer childConfig.Close()
	defer feed.Close()

	exe, err := os.Executable()
	if err != nil {
		return err
	}
	closeInheritedOnExec()
	cmd := &exec.Cmd{
		Path:        exe,
		Args:        []string{os.Args[0], "--config", t.ConfigFile, t.Interface}, // what ps shows
		Env:         append(os.Environ(), childMark+"=1"),
		Stdin:       childConfig,
		Stderr:      os.Stderr, // until it is ready: for a panic
		ExtraFiles:  []*os.File{reportFD - 3: childReport, tunFD - 3: dev.File(), lockFD - 3: lock.File()},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the background process: %w", err)
	}
	// Only the child holds its ends now: its death is the end of the report, and
	// FreeBSD would have it wait for us before it may remove the interface.
	childReport.Close()
	childConfig.Close()
	if err := dev.Leave(); err != nil {
		_ = cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	go func() { // a long file does not fit into the pipe at once
		_, _ = feed.Write(t.ConfigText)
		feed.Close()
	}()

	reported := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(report, 4<<10))
		reported <- string(text)
	}()
	return awaitReport(cmd, reported, interrupts)
}

// awaitReport turns the child's report, or its lack, into an error; with an
// error the child has ended.
func awaitReport(cmd *exec.Cmd, reported <-chan string, interrupts <-chan os.Signal) error {
	var text string
	select {
	case text = <-reported:
		if text == readyWord {
			return cmd.Process.Release()
		}
	case <-interrupts:
		text = "interrupted"
	case <-time.After(readyTimeout):
		text = fmt.Sprintf("the background process was not ready within %v", readyTimeout)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(endTimeout, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	kill.Stop()
	switch {
	case text != "":
		return errors.New(text)
	case err != nil:
		return fmt.Errorf("the background process ended: %w", err)
	}
	return errors.New("the background process ended without a word")
}

// closeInheritedOnExec keeps files that our caller left open out of the child,
// which would hold on to them for as long as the tunnel runs.
func closeInheritedOnExec() {
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd) // those of Go are marked already; a closed one does not mind
	}
}

// Child is the daemon that Detach starts. It makes its Options with load from
// the configuration, and returns when the tunnel has ended; what kept it from
// running has been reported, so that there is nobody left to tell.
func Child(load func(config io.Reader) (Options, error)) error {
	os.Unsetenv(childMark) // of no use to programs that the daemon runs
	ProtectSecrets()
	signal.Ignore(syscall.SIGHUP)
	ctx, release := signalContext(syscall.SIGTERM, syscall.SIGINT)
	defer release()
	var inherited []*os.File
	for fd := reportFD; fd <= lockFD; fd++ {
		unix.CloseOnExec(fd)
		inherited = append(inherited, os.NewFile(uintptr(fd), fmt.Sprintf("inherited file %d", fd)))
	}
	report, tunFile, lockFile := inherited[0], inherited[1], inherited[2]
	defer report.Close()

	t, dev, err := adopt(load, tunFile, lockFile)
	if err == nil {
		err = t.run(ctx, dev, func() error { return leaveCaller(report) })
		if err != nil {
			t.log.Error("ended", "error", err)
		}
	}
	if err != nil {
		// Once ready, the report is closed and this goes nowhere.
		_, _ = io.WriteString(report, err.Error())
	}
	return err
}

// adopt makes the child's tunnel out of what it has inherited.
func adopt(load func(io.Reader) (Options, error), tunFile, lockFile *os.File) (*tunnel, TUN, error) {
	o, err := load(bufio.NewReader(os.Stdin))
	if err != nil {
		return nil, nil, err
	}
	t := newTunnel(o, systemLog(o.Interface, o.Config))
	lock, err := control.AdoptLock(lockFile, o.Interface)
	if err != nil {
		return nil, nil, err
	}
	t.undoLater("the lock", lock.Release)
	dev, err := o.System.AdoptTUN(tunFile, o.Interface, t.deviceOptions())
	if err != nil {
		return nil, nil, errors.Join(err, t.stop())
	}
	t.undoLater("the interface", dev.Close)
	return t, dev, nil
}

// leaveCaller lets go of the caller's terminal and folder, and tells it that
// the tunnel runs. It fails when nobody hears: then nobody knows that it runs.
func leaveCaller(report *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup2(int(null.Fd()), fd); err != nil {
			return err
		}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if _, err := io.WriteString(report, readyWord); err != nil {
		return fmt.Errorf("the caller is gone: %w", err)
	}
	return report.Close()
}
