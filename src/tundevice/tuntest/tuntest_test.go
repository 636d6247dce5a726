package tuntest

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/tundevice"
)

func TestInsideABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := New("nc0", 100, 2)
		go func() { // an echo: what is read is written
			bufs := [][]byte{make([]byte, 116), make([]byte, 116)}
			sizes := make([]int, 2)
			for {
				n, err := dev.Read(bufs, sizes, tundevice.Headroom)
				if err != nil {
					return
				}
				for i := range n {
					dev.Write([][]byte{bufs[i][:tundevice.Headroom+sizes[i]]}, tundevice.Headroom)
				}
			}
		}()
		dev.Inject([]byte("one"), []byte("two"), []byte("three"), make([]byte, 101))
		for _, want := range []string{"one", "two", "three"} {
			if p, ok := dev.Next(time.Second); !ok || string(p) != want {
				t.Fatalf("Next = %q, %v, want %q", p, ok, want)
			}
		}
		start := time.Now()
		if p, ok := dev.Next(time.Second); ok || time.Since(start) != time.Second {
			t.Fatalf("Next on silence = %q, %v after %v", p, ok, time.Since(start))
		}
		if dev.Dropped() != 1 {
			t.Fatalf("Dropped = %d, want 1: longer than the MTU", dev.Dropped())
		}
		dev.Delete()
		synctest.Wait()
	})
}

func TestEndAndBounds(t *testing.T) {
	dev := New("nc0", 1500, 8)
	packet := make([]byte, tundevice.Headroom+4)
	copy(packet[tundevice.Headroom:], "data")
	for range Limit + 5 {
		dev.Write([][]byte{packet}, tundevice.Headroom)
	}
	if got := dev.Written(); len(got) != Limit || !bytes.Equal(got[0], []byte("data")) || dev.Dropped() != 5 {
		t.Fatalf("%d written, %d dropped", len(got), dev.Dropped())
	}
	if err := dev.SetMTU(1300); err != nil || dev.MTU() != 1300 {
		t.Fatalf("MTU %d, %v", dev.MTU(), err)
	}
	dev.Delete()
	dev.Close()
	if _, err := dev.Read([][]byte{packet}, make([]int, 1), tundevice.Headroom); !errors.Is(err, tundevice.ErrGone) {
		t.Fatalf("Read after Delete: %v", err)
	}
	closed := New("nc1", 1500, 8)
	closed.Close()
	if _, err := closed.Write([][]byte{packet}, tundevice.Headroom); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("Write after Close: %v", err)
	}
}
