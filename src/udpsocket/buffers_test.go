package udpsocket

import (
	"context"
	"net/netip"
	"testing"
)

// What a socket got is what it asked for, or what the kernel lets it have.
func TestBuffers(t *testing.T) {
	s, err := Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Buffers()
	if err != nil || got.Receive < 64<<10 || got.Receive > WantedBuffers.Receive || got.Send < 64<<10 || got.Send > WantedBuffers.Send {
		t.Errorf("%+v of %+v: %v", got, WantedBuffers, err)
	}
	s.Close()
	if _, err := s.Buffers(); err == nil {
		t.Error("of a closed socket there is nothing to tell")
	}
}
