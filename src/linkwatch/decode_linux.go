package linkwatch

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// decoder turns rtnetlink messages into events. It remembers which devices
// there are, since an address or route names its device by number, and which
// are up, since a link message comes for many other reasons. It is pure, and
// bounded by the kernel's number of devices.
type decoder struct {
	links map[int32]link
}

// decode hands emit the events of a datagram of messages. It returns false
// when the datagram is not well-formed; what came before the fault counts.
func (d *decoder) decode(datagram []byte, emit func(Event)) bool {
	return eachMessage(datagram, func(kind uint16, body []byte) {
		switch kind {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			d.link(kind == unix.RTM_NEWLINK, body, emit)
		case unix.RTM_NEWADDR:
			d.addr(AddrAdded, body, emit)
		case unix.RTM_DELADDR:
			d.addr(AddrRemoved, body, emit)
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			d.route(body, emit)
		case unix.NLMSG_OVERRUN:
			emit(Event{Kind: Resync})
		}
	})
}

// device names an event's device by its index. The event of a device that we
// do not know (yet) is a Resync.
func (d *decoder) device(index []byte, kind Kind) Event {
	if name := d.links[int32(binary.NativeEndian.Uint32(index))].name; name != "" {
		return Event{name, kind}
	}
	return Event{Kind: Resync}
}

// link reads struct ifinfomsg: family u8, pad u8, type u16, index i32, flags
// u32, change u32; then attributes.
func (d *decoder) link(exists bool, body []byte, emit func(Event)) {
	if len(body) < unix.SizeofIfInfomsg || body[0] == unix.AF_BRIDGE {
		return // a bridge tells of its ports in messages that look alike
	}
	index := int32(binary.NativeEndian.Uint32(body[4:]))
	flags := binary.NativeEndian.Uint32(body[8:])
	old := d.links[index]
	now := link{name: old.name}
	eachAttribute(body[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		if kind == unix.IFLA_IFNAME {
			now.name = cString(value)
		}
	})
	if now.name == "" {
		return
	}
	const running = unix.IFF_UP | unix.IFF_RUNNING
	now.up = exists && flags&running == running
	if old.name != "" && old.name != now.name && old.up {
		emit(Event{old.name, LinkDown}) // renamed
		old.up = false
	}
	if exists {
		d.links[index] = now
	} else {
		delete(d.links, index)
	}
	if now.up != old.up {
		if now.up {
			emit(Event{now.name, LinkUp})
		} else {
			emit(Event{now.name, LinkDown})
		}
	}
}

// addr reads struct ifaddrmsg: family, prefix length, flags, scope u8 each,
// index u32; then attributes.
func (d *decoder) addr(kind Kind, body []byte, emit func(Event)) {
	if len(body) < unix.SizeofIfAddrmsg {
		return
	}
	if scope := body[3]; scope >= unix.RT_SCOPE_LINK {
		return // of no use to a path
	}
	emit(d.device(body[4:8], kind))
}

// route reads struct rtmsg: family, destination length, source length, TOS,
// table, protocol, scope, type u8 each, flags u32; then attributes.
func (d *decoder) route(body []byte, emit func(Event)) {
	if len(body) < unix.SizeofRtMsg {
		return
	}
	if defaultRoute := body[1] == 0; !defaultRoute || body[4] != unix.RT_TABLE_MAIN {
		return
	}
	named := false
	eachAttribute(body[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		switch {
		case kind == unix.RTA_OIF && len(value) == 4:
			emit(d.device(value, RouteChanged))
			named = true
		case kind == unix.RTA_MULTIPATH:
			// struct rtnexthop: length u16, flags u8, hops u8, index i32.
			for len(value) >= unix.SizeofRtNexthop {
				emit(d.device(value[4:8], RouteChanged))
				named = true
				length := int(binary.NativeEndian.Uint16(value))
				if length < unix.SizeofRtNexthop {
					return
				}
				value = value[min(align(length), len(value)):]
			}
		}
	})
	if !named {
		emit(Event{Kind: Resync}) // an unreachable default, or a nexthop object
	}
}

// eachMessage walks struct nlmsghdr: length u32, type u16, flags u16, sequence
// u32, port u32, body, padding. It returns false where the datagram is not
// well-formed.
func eachMessage(b []byte, f func(kind uint16, body []byte)) bool {
	for len(b) > 0 {
		if len(b) < unix.NLMSG_HDRLEN {
			return false
		}
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return false
		}
		f(binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:length])
		b = b[min(align(length), len(b)):]
	}
	return true
}

// eachAttribute walks struct rtattr: length u16, type u16, value, padding.
func eachAttribute(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED, b[unix.SizeofRtAttr:length])
		b = b[min(align(length), len(b)):]
	}
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
