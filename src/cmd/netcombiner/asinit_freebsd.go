package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/tundevice"
)

// A kernel without a userland can be asked, too: boot it with this program as its
// init(8) and, in the kernel's environment (kenv(1), loader.conf),
//
//	init_path="/netcombiner" netcombiner.selftest="--json"
//
// whose value is the arguments of the selftest, or 1. Then the machine is switched off.
const (
	toldBy = "netcombiner.selftest"

	kenvGet   = 0      // KENV_GET of sys/kenv.h
	kenvMax   = 128    // KENV_MVALLEN
	powerOff  = 0x4000 // RB_POWEROFF of sys/reboot.h
	lastWords = 500 * time.Millisecond
)

// asInit is what the kernel's init does when it is told to; else it returns at once.
func asInit() {
	if os.Getpid() != 1 {
		return
	}
	args, told := kenv(toldBy)
	if !told {
		return
	}
	// Until here the standard files are /dev/null, to which the runtime has opened them.
	if console, err := unix.Open("/dev/console", unix.O_RDWR, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup2(console, fd)
		}
	}
	// What a userland would have done, as far as a selftest needs it.
	if err := mountMemory("/var"); err != nil {
		fmt.Println("/var stays as it is:", err)
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
	if _, err := tundevice.Configure("lo0", loopback, 0); err != nil {
		fmt.Println(err)
	}
	words := strings.Fields(args)
	if len(words) == 1 && words[0] == "1" {
		words = nil
	}
	a := newApp()
	fmt.Printf("netcombiner selftest: exit status %d\n", a.report(a.selftest(words)))
	_ = unix.IoctlSetInt(1, unix.TIOCDRAIN, 0)
	time.Sleep(lastWords)
	_ = unix.Sync()
	_, _, errno := unix.Syscall(unix.SYS_REBOOT, powerOff, 0, 0)
	fmt.Println("cannot switch off:", errno)
	select {} // an init that ends is a panic of the kernel
}

// kenv is a word of the kernel's environment.
func kenv(name string) (value string, ok bool) {
	key, err := unix.BytePtrFromString(name)
	if err != nil {
		return "", false
	}
	b := make([]byte, kenvMax)
	_, _, errno := unix.Syscall6(unix.SYS_KENV, kenvGet, uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(&b[0])), kenvMax, 0, 0)
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text), errno == 0
}

// mountMemory has a folder be in memory (tmpfs(5)): the kernel mounts / for reading.
func mountMemory(dir string) error {
	var options []unix.Iovec
	for _, word := range []string{"fstype", "tmpfs", "fspath", dir} {
		b := append([]byte(word), 0)
		options = append(options, unix.Iovec{Base: &b[0], Len: uint64(len(b))})
	}
	_, _, errno := unix.Syscall(unix.SYS_NMOUNT, uintptr(unsafe.Pointer(&options[0])), uintptr(len(options)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
