package udpsocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// kernel is one that a test makes up: what it answers to sends.
type kernel struct {
	syscall.RawConn            // only Write is called
	mtu             int        // the longest message that goes out
	tooLong         unix.Errno // what it says of a run of longer ones
	cannotCut       unix.Errno // what it says of every run
	faults          []unix.Errno
	random          *rand.Rand // when it says them
	calls           int
	sent            [][]byte
}

func (k *kernel) Write(f func(uintptr) bool) error {
	for !f(0) {
	}
	return nil
}

// send is sendmmsg.
func (k *kernel) send(_ uintptr, hs []header) (n int, _ unix.Errno) {
	k.calls++
	for i := range hs {
		if errno := k.take(&hs[i].Msghdr); errno != 0 {
			if i > 0 {
				errno = 0
			}
			return i, errno
		}
		if k.random.IntN(8) == 0 {
			return i + 1, 0
		}
	}
	return len(hs), 0
}

func (k *kernel) take(h *unix.Msghdr) unix.Errno {
	var data []byte
	for _, v := range unsafe.Slice(h.Iov, h.Iovlen) {
		data = append(data, unsafe.Slice(v.Base, v.Len)...)
	}
	segment := len(data)
	if h.Controllen > 0 {
		segment = int(*(*uint16)(unsafe.Add(unsafe.Pointer(h.Control), unix.CmsgLen(0))))
	}
	switch {
	case len(k.faults) > 0 && k.random.IntN(3) == 0:
		return k.faults[k.random.IntN(len(k.faults))]
	case segment < len(data) && k.cannotCut != 0:
		return k.cannotCut
	case segment < len(data) && segment > k.mtu:
		return k.tooLong
	case segment > k.mtu:
		return unix.EMSGSIZE
	}
	for len(data) > 0 {
		n := min(segment, len(data))
		k.sent = append(k.sent, data[:n])
		data = data[n:]
	}
	return 0
}

func (k *kernel) socket(told *[]string) *Socket {
	s := &Socket{raw: k, remote: netip.MustParseAddrPort("192.0.2.1:4725")}
	s.tell = func(why string) { *told = append(*told, why) }
	s.out.init(Options{}, true)
	s.out.system = k.send
	return s
}

// Whatever a kernel answers, in whatever way it takes a batch in parts: what
// fits goes out once and in order, what does not is refused, and cutting is
// given up where it never works, and only there.
func TestEveryKernel(t *testing.T) {
	passing := []unix.Errno{unix.EAGAIN, unix.EINTR}
	for name, test := range map[string]struct {
		kernel
		stops bool
	}{
		"new":                        {kernel{tooLong: unix.EMSGSIZE}, false},
		"up to 6.13":                 {kernel{tooLong: unix.EINVAL}, false},
		"busy":                       {kernel{tooLong: unix.EMSGSIZE, faults: passing}, false},
		"without checksums":          {kernel{tooLong: unix.EMSGSIZE, cannotCut: unix.EIO}, true},
		"without checksums and busy": {kernel{tooLong: unix.EMSGSIZE, cannotCut: unix.EIO, faults: passing}, true},
		"that minds the option":      {kernel{tooLong: unix.EINVAL, cannotCut: unix.EINVAL}, true},
		"with a firewall":            {kernel{tooLong: unix.EMSGSIZE, cannotCut: unix.EPERM}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				k := test.kernel
				k.mtu, k.random = 1000, rand.New(rand.NewPCG(seed, 4))
				var told []string
				s := k.socket(&told)
				var want [][]byte
				refused, number := false, uint32(0)
				for range 4 {
					ms := make([]transport.Message, 1+k.random.IntN(150))
					size := 0
					for i := range ms {
						if i == 0 || k.random.IntN(6) == 0 {
							size = []int{4, 60, 900, 1000, 1001, 1400}[k.random.IntN(6)]
						}
						ms[i].Buf = binary.BigEndian.AppendUint32(nil, number)
						ms[i].Buf = append(ms[i].Buf, make([]byte, size-4)...)
						number++
						if size <= k.mtu {
							want = append(want, ms[i].Buf)
						} else {
							refused = true
						}
					}
					n, err := s.Send(ms)
					if _, is := errors.AsType[*transport.RefusedError](err); n != len(ms) || is != refused || is && !errors.Is(err, unix.EMSGSIZE) {
						t.Fatalf("seed %d: Send of %d: %d, %v", seed, len(ms), n, err)
					}
					refused = false
				}
				if len(k.sent) != len(want) {
					t.Fatalf("seed %d: %d messages went out, want %d", seed, len(k.sent), len(want))
				}
				for i := range want {
					if !bytes.Equal(k.sent[i], want[i]) {
						t.Fatalf("seed %d: message %d went out in place of %d", seed, binary.BigEndian.Uint32(k.sent[i]), binary.BigEndian.Uint32(want[i]))
					}
				}
				if s.out.cuts == test.stops || (len(told) == 1) != test.stops {
					t.Fatalf("seed %d: cuts = %v, told %q", seed, s.out.cuts, told)
				}
			}
		})
	}
}

// What an ICMP error left on the socket costs no message, and says nothing
// about runs.
func TestPassingFaultUnpacksNothing(t *testing.T) {
	k := &kernel{mtu: 1000, random: rand.New(rand.NewPCG(1, 1))}
	var told []string
	s := k.socket(&told)
	pending := unix.ECONNREFUSED
	s.out.system = func(fd uintptr, hs []header) (int, unix.Errno) {
		errno := pending
		if pending = 0; errno != 0 {
			return 0, errno
		}
		return k.send(fd, hs)
	}
	mustSend(t, s, sized(repeat(500, 20)...))
	if len(k.sent) != 20 || k.calls != 1 || !s.out.cuts {
		t.Errorf("%d of 20 messages in %d calls", len(k.sent), k.calls)
	}
}

// TestCuttingIsTriedAgain: in a while the way may be by a device that fills in
// checksums.
func TestCuttingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{mtu: 1000, random: rand.New(rand.NewPCG(1, 1)), cannotCut: unix.EIO}
		var told []string
		s := k.socket(&told)
		send := func(cuts bool) {
			t.Helper()
			mustSend(t, s, sized(repeat(500, 20)...))
			if s.out.cuts != cuts {
				t.Errorf("cuts = %v, want %v", s.out.cuts, cuts)
			}
		}
		for range 2 { // the second time it is no better
			send(false)
			time.Sleep(cutAgainAfter - 1)
			send(false)
			time.Sleep(time.Nanosecond)
		}
		k.cannotCut = 0
		send(true)
		time.Sleep(2 * cutAgainAfter)
		send(true)
		if len(told) != 2 || len(k.sent) != 6*20 {
			t.Errorf("told %q, %d messages sent", told, len(k.sent))
		}
	})
}
