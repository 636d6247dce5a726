package tcp

import (
	"context"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"netcombiner/src/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	for _, test := range []struct{ name, at, from string }{
		{"IPv4", "127.0.0.1:0", ""},
		{"IPv4From", "127.0.0.1:0", "127.0.0.2"},
		{"IPv4Wildcard", "0.0.0.0:0", "127.0.0.3"},
		{"IPv6", "[::1]:0", ""},
		{"IPv6Wildcard", "[::]:0", "::1"},
		{"IPv4OnIPv6Wildcard", "[::]:0", "127.0.0.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Setup {
				s := transporttest.Setup{Dialer: Transport{}, Listener: Transport{}, At: netip.MustParseAddrPort(test.at), Longest: 65535}
				if test.from != "" {
					s.Bind.Addr = netip.MustParseAddr(test.from)
				}
				return s
			})
		})
	}
}

var _ = context.Background
