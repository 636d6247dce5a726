package routing

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Rules are written here, attribute by attribute: the library leaves
// suppress_prefixlength out where the table's number is above 255.

// fraPortMask is FRA_DPORT_MASK, which Linux 6.15 and later add to a port.
const fraPortMask = 29

// changeRule adds a rule, or deletes one that is exactly like it.
func changeRule(r Rule, add bool) error {
	kind, flags := unix.RTM_DELRULE, unix.NLM_F_ACK
	if add {
		kind, flags = unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK
	}
	request := nl.NewNetlinkRequest(kind, flags)
	header := &nl.RtMsg{}
	header.Family = unix.AF_INET
	if r.V6 {
		header.Family = unix.AF_INET6
	}
	header.Type = nl.FR_ACT_UNREACHABLE
	if r.Table != 0 {
		header.Type = nl.FR_ACT_TO_TBL
	} else if r.Goto != 0 {
		header.Type = nl.FR_ACT_GOTO
	}
	header.Table = unix.RT_TABLE_UNSPEC
	if r.Table < 256 {
		header.Table = uint8(r.Table)
	}
	header.Src_len, header.Dst_len = uint8(max(r.From.Bits(), 0)), uint8(max(r.To.Bits(), 0))
	request.AddData(header)

	attribute := func(kind int, value []byte) { request.AddData(nl.NewRtAttr(kind, value)) }
	number := func(kind int, value uint32) { attribute(kind, binary.NativeEndian.AppendUint32(nil, value)) }
	number(nl.FRA_PRIORITY, r.Priority)
	if r.Table != 0 {
		number(nl.FRA_TABLE, r.Table)
	}
	if r.Goto != 0 {
		number(nl.FRA_GOTO, r.Goto)
	}
	if r.From.IsValid() {
		attribute(nl.FRA_SRC, r.From.Addr().AsSlice())
	}
	if r.To.IsValid() {
		attribute(nl.FRA_DST, r.To.Addr().AsSlice())
	}
	if r.In != "" {
		attribute(nl.FRA_IIFNAME, append([]byte(r.In), 0))
	}
	if r.Out != "" {
		attribute(nl.FRA_OIFNAME, append([]byte(r.Out), 0))
	}
	if r.Mark != 0 {
		number(nl.FRA_FWMARK, r.Mark)
		number(nl.FRA_FWMASK, cmp.Or(r.Mask, r.Mark))
	}
	if r.Specific {
		number(nl.FRA_SUPPRESS_PREFIXLEN, 0)
	}
	if r.Proto != 0 {
		attribute(nl.FRA_IP_PROTO, []byte{r.Proto})
	}
	if r.Port != 0 {
		port := binary.NativeEndian.AppendUint16(nil, r.Port)
		attribute(nl.FRA_DPORT_RANGE, append(port, port...))
	}
	proto := byte(routeProtocol)
	if r.System {
		proto = unix.RTPROT_KERNEL
	}
	attribute(nl.FRA_PROTOCOL, []byte{proto})
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// rulePresent says whether there is a rule like r, whoever made it.
func rulePresent(r Rule) (bool, error) {
	family := uint8(unix.AF_INET)
	if r.V6 {
		family = unix.AF_INET6
	}
	messages, err := again(func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
		request.AddData(nl.NewIfInfomsg(int(family)))
		return request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWRULE)
	})
	if err != nil {
		return false, err
	}
	r.System = false
	for _, m := range messages {
		if found, ok := parseRule(m, family); ok && found == r {
			return true, nil
		}
	}
	return false, nil
}

// parseRule reads a rule of the kernel's. It returns false for one that this
// package could not have made.
func parseRule(message []byte, family uint8) (r Rule, ok bool) {
	if len(message) < unix.SizeofRtMsg {
		return r, false
	}
	header := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[header.Len():])
	invert := header.Flags&0x2 != 0
	if err != nil || header.Family != family || header.Tos != 0 || invert {
		return r, false
	}
	r.V6 = family == unix.AF_INET6
	var mask uint32
	prefix := func(b []byte, bits uint8) netip.Prefix {
		addr, _ := netip.AddrFromSlice(b)
		return netip.PrefixFrom(addr, int(bits))
	}
	for _, a := range attributes {
		v := a.Value
		number := func() uint32 { return binary.NativeEndian.Uint32(v) }
		switch a.Attr.Type {
		case nl.FRA_PRIORITY:
			r.Priority = number()
		case nl.FRA_TABLE:
			r.Table = number()
		case nl.FRA_SRC:
			r.From = prefix(v, header.Src_len)
		case nl.FRA_DST:
			r.To = prefix(v, header.Dst_len)
		case nl.FRA_IIFNAME:
			r.In = string(v[:len(v)-1])
		case nl.FRA_OIFNAME:
			r.Out = string(v[:len(v)-1])
		case nl.FRA_FWMARK:
			r.Mark = number()
		case nl.FRA_FWMASK:
			mask = number()
		case nl.FRA_GOTO:
			r.Goto = number()
		case nl.FRA_SUPPRESS_PREFIXLEN:
			switch number() {
			case 0:
				r.Specific = true
			case 1<<32 - 1:
			default:
				return r, false
			}
		case nl.FRA_IP_PROTO:
			r.Proto = v[0]
		case nl.FRA_DPORT_RANGE:
			from, to := binary.NativeEndian.Uint16(v), binary.NativeEndian.Uint16(v[2:])
			if r.Port = from; from != to {
				return r, false
			}
		case nl.FRA_SUPPRESS_IFGROUP:
			if number() != 1<<32-1 {
				return r, false
			}
		case fraPortMask:
			if binary.NativeEndian.Uint16(v) != 1<<16-1 {
				return r, false
			}
		case nl.FRA_PROTOCOL, nl.FRA_PAD:
		default:
			return r, false
		}
	}
	switch header.Type {
	case nl.FR_ACT_TO_TBL:
	case nl.FR_ACT_UNREACHABLE, nl.FR_ACT_GOTO:
		r.Table = 0
	default:
		return r, false
	}
	if mask != r.Mark {
		r.Mask = mask
	}
	return r, true
}
