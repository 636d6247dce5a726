package handshake

import (
	"encoding/binary"
	"slices"

	"netcombiner/src/auth"
	"netcombiner/src/wire"
)

// check says whether h may be sent, and whether one received may be believed.
func (h *Hello) check() error {
	if h.InUse >= 1<<wire.Epochs-1 { // a stray bit, or no epoch free
		return ErrMalformed
	}
	if len(h.Suites) < 1 || len(h.Suites) > MaxSuites {
		return ErrMalformed
	}
	for i, s := range h.Suites {
		if s == 0 || slices.Contains(h.Suites[:i], s) {
			return ErrMalformed
		}
	}
	return nil
}

// payload is the part of a HELLO that Noise seals.
func (h *Hello) payload() []byte {
	b := make([]byte, helloPayloadLen)
	binary.BigEndian.PutUint64(b, h.Instance)
	b[8], b[9] = h.InUse, h.Flags
	for i, s := range h.Suites {
		b[10+i] = byte(s)
	}
	return b
}

// parseHello is the reverse of payload; the Cookie is not in it.
func parseHello(b []byte) (Hello, error) {
	if len(b) != helloPayloadLen {
		return Hello{}, ErrMalformed
	}
	h := Hello{Instance: binary.BigEndian.Uint64(b), InUse: b[8], Flags: b[9]}
	slots := b[10:]
	for len(slots) > 0 && slots[len(slots)-1] == 0 {
		slots = slots[:len(slots)-1]
	}
	for _, s := range slots { // check finds a zero among them
		h.Suites = append(h.Suites, auth.ID(s))
	}
	if err := h.check(); err != nil {
		return Hello{}, err
	}
	return h, nil
}

// answers says whether r may answer h.
func (r *Reply) answers(h *Hello) error {
	if r.Epoch >= wire.Epochs || h.InUse>>r.Epoch&1 != 0 || !slices.Contains(h.Suites, r.Suite) {
		return ErrMalformed
	}
	return nil
}

// payload is the part of a REPLY that Noise seals.
func (r *Reply) payload() []byte {
	b := make([]byte, replyPayloadLen)
	binary.BigEndian.PutUint64(b, r.Instance)
	b[8], b[9], b[10] = r.Epoch, byte(r.Suite), r.Flags
	return b
}

// parseReply is the reverse of payload, for the answer to h.
func parseReply(b []byte, h *Hello) (Reply, error) {
	if len(b) != replyPayloadLen {
		return Reply{}, ErrMalformed
	}
	r := Reply{Instance: binary.BigEndian.Uint64(b), Epoch: b[8], Suite: auth.ID(b[9]), Flags: b[10]}
	if err := r.answers(h); err != nil {
		return Reply{}, err
	}
	return r, nil
}
