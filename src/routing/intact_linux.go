package routing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// WatchTables tells when rules, chains or tables of nftables went, or a set came:
// Intact then says whether that matters. Until ctx ends; then the channel closes.
func WatchTables(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("watching the firewall: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	context.AfterFunc(ctx, func() { socket.Close() })
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		buf := make([]byte, 64<<10)
		for {
			n, err := socket.Read(buf)
			if err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
			if err == nil && !matters(buf[:n]) {
				continue
			}
			select {
			case changes <- struct{}{}:
			default: // one waits already
			}
		}
	}()
	return changes, nil
}

// matters says whether a datagram of the kernel's tells of anything but elements
// of sets, rules that came, and the like.
func matters(datagram []byte) bool {
	for len(datagram) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(datagram))
		switch binary.NativeEndian.Uint16(datagram[4:]) {
		case unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELCHAIN,
			unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELRULE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSET:
			return true
		}
		length = (length + 3) &^ 3
		if length < unix.NLMSG_HDRLEN || length > len(datagram) {
			return false
		}
		datagram = datagram[length:]
	}
	return false
}

// chainsThere says whether the chains are in their table, with rules.
func (kernel) chainsThere(c SetChain) bool {
	for _, chain := range c.chains() {
		out, err := nft("", "list", "chain", c.Family, c.Table, chain.name)
		if err != nil || !strings.Contains(string(out), "ct mark") {
			return false
		}
	}
	return true
}
