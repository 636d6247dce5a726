package udpsocket

import (
	"context"
	"errors"
	"net/netip"
	"slices"
)

// FIB says in which of the kernel's routing tables (setfib(2)) the routes of a WAN
// are, by the Bind that names it. Not ok: none is set aside for it, and the process's
// own serves. A negative table: the WAN leads nowhere, and nothing may leave by the
// process's own, which is another's. It may wait until that is known, but not longer
// than ctx. Only FreeBSD asks: it is what binding to a device is on Linux.
type FIB func(ctx context.Context, device string, source netip.Addr) (table int, ok bool)

// table is the one by which a connection from source leaves.
func (c *connector) table(ctx context.Context, source netip.Addr) (table int, chosen bool, err error) {
	if canBindToDevice || c.fib == nil {
		return 0, false, nil
	}
	return c.askTable(ctx, source)
}

func (c *connector) askTable(ctx context.Context, source netip.Addr) (table int, chosen bool, err error) {
	if c.bind.Device == "" && !source.IsValid() {
		return 0, false, nil // any WAN will do
	}
	table, chosen = c.fib(ctx, c.bind.Device, source)
	if chosen && table < 0 {
		return 0, false, errNoGateway
	}
	return table, chosen, ctx.Err()
}

var errNoGateway = errors.New("no gateway is known by which it leaves: give Gateway = in its [Path]")

// suitable puts first which of a device's addresses fit remote best: public ones
// for a public address, private ones (RFC 1918, RFC 4193) for a private.
func suitable(own []netip.Addr, remote netip.Addr) []netip.Addr {
	unlike := func(a netip.Addr) int {
		if a.IsPrivate() != remote.IsPrivate() {
			return 1
		}
		return 0
	}
	sorted := slices.Clone(own)
	slices.SortStableFunc(sorted, func(a, b netip.Addr) int { return unlike(a) - unlike(b) })
	return sorted
}

// stepDown asks for a buffer of size bytes, and for a quarter less each time that
// is too much, down to 64 KiB. It returns what it got; 0: nothing.
func stepDown(size int, set func(size int) error) int {
	for ; size >= 64<<10; size -= size / 4 {
		if set(size) == nil {
			return size
		}
	}
	return 0
}
