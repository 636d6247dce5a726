package linkwatch

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Tables tells when nftables lost a table, chain or rule, or got a set, in a table
// whose name concerns says yes to; it is called again for each. Several changes
// may be told as one. When ctx ends the channel closes.
func Tables(ctx context.Context, concerns func(table string) bool) (<-chan struct{}, error) {
	socket, err := subscribe(unix.NETLINK_NETFILTER, 1<<(unix.NFNLGRP_NFTABLES-1))
	if err != nil {
		return nil, fmt.Errorf("watching the firewall: %w", err)
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		buf := make([]byte, tablesBuffer)
		for {
			n, err := socket.Read(buf)
			switch {
			case errors.Is(err, unix.ENOBUFS): // who knows what is lost
			case err != nil:
				return
			case !tableChanged(buf[:n], concerns):
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

const (
	// tablesBuffer is more than the kernel puts in a datagram about nftables, in
	// bytes: a page, 8 KiB at most.
	tablesBuffer = 16 << 10
	// nfgenmsg is the length of struct nfgenmsg: family u8, version u8, resource u16.
	nfgenmsg = 4
	// tableName is the attribute that names the table, in messages about any object.
	tableName = unix.NFTA_TABLE_NAME
)

// tableChanged says whether a datagram tells of what Tables is for: not of elements
// of sets, or of rules that came. One that is not well-formed may.
func tableChanged(datagram []byte, concerns func(table string) bool) (changed bool) {
	whole := eachMessage(datagram, func(kind uint16, body []byte) {
		switch kind {
		case unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELTABLE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELCHAIN,
			unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_DELRULE, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSET:
		default:
			return
		}
		if len(body) < nfgenmsg {
			return
		}
		eachAttribute(body[nfgenmsg:], func(kind uint16, value []byte) {
			changed = changed || kind == tableName && concerns(cString(value))
		})
	})
	return changed || !whole
}
