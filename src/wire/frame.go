package wire

import "encoding/binary"

// FrameType says what a frame of a control message is.
type FrameType uint8

const (
	FramePadding   FrameType = 0 // the rest of the message is zeros
	FrameJoin      FrameType = 1 // local to remote: what this path is to be
	FrameChallenge FrameType = 2 // 8 bytes to be sent back
	FrameResponse  FrameType = 3 // the 8 bytes of a challenge
	FrameHello     FrameType = 4 // a HELLO message, for new keys
	FrameReply     FrameType = 5 // a REPLY message
	FrameClose     FrameType = 6 // the sender leaves: the session
	FrameLeave     FrameType = 7 // local to remote, and back: a path is no more
)

// ChallengeSize is the length of a challenge, in bytes.
const ChallengeSize = 8

const frameHeader = 3

// Frame is one frame; Body is a part of the message.
type Frame struct {
	Type FrameType
	Body []byte
}

// AppendFrame appends a frame whose body is at most 65535 bytes.
func AppendFrame(b []byte, t FrameType, body []byte) []byte {
	b = append(b, byte(t))
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// NextFrame reads the first frame of m. At the end, or at padding, the frame
// has no body and type FramePadding, and rest is empty.
func NextFrame(m []byte) (f Frame, rest []byte, err error) {
	if len(m) == 0 || FrameType(m[0]) == FramePadding {
		return Frame{}, nil, nil
	}
	if len(m) < frameHeader || FrameType(m[0]) > FrameLeave {
		return f, nil, ErrMalformed
	}
	n := int(binary.BigEndian.Uint16(m[1:]))
	if len(m) < frameHeader+n {
		return f, nil, ErrMalformed
	}
	return Frame{FrameType(m[0]), m[frameHeader : frameHeader+n]}, m[frameHeader+n:], nil
}

// Direction bits of a Join, as the local portal sees them.
const (
	DirectionSend    = 1
	DirectionReceive = 2
)

// Congestion says which controller the remote uses towards the local portal.
type Congestion uint8

const (
	CongestionNone    Congestion = 0
	CongestionNewReno Congestion = 1
	CongestionBBR     Congestion = 2
)

const joinFixed = 13

// MaxPathName is the length of the longest path name, in bytes.
const MaxPathName = 64

// ReserveMetric is the metric of a path that is kept for the worst: it carries
// data only where every path of a lower one has failed, and never for want of
// room. Other metrics only say which comes first.
const ReserveMetric = 65535

// Join is the body of FrameJoin: what the local portal was told of a path,
// so that the remote follows it in its own direction.
type Join struct {
	Metric     uint16
	Direction  uint8 // DirectionSend | DirectionReceive
	Congestion Congestion
	Rate       uint64 // bit/s towards the local portal; 0: no ceiling
	Name       string // at most MaxPathName bytes
}

// Append appends the frame, header and body.
func (j *Join) Append(b []byte) []byte {
	name := j.Name[:min(len(j.Name), MaxPathName)]
	b = append(b, byte(FrameJoin))
	b = binary.BigEndian.AppendUint16(b, uint16(joinFixed+len(name)))
	b = binary.BigEndian.AppendUint16(b, j.Metric)
	b = append(b, j.Direction, byte(j.Congestion))
	b = binary.BigEndian.AppendUint64(b, j.Rate)
	b = append(b, byte(len(name)))
	return append(b, name...)
}

// ParseJoin reads the body of a FrameJoin.
func ParseJoin(m []byte) (j Join, err error) {
	if len(m) < joinFixed || len(m) != joinFixed+int(m[12]) || m[12] > MaxPathName {
		return j, ErrMalformed
	}
	j = Join{
		Metric:     binary.BigEndian.Uint16(m),
		Direction:  m[2],
		Congestion: Congestion(m[3]),
		Rate:       binary.BigEndian.Uint64(m[4:]),
		Name:       string(m[joinFixed:]),
	}
	if j.Direction == 0 || j.Direction > DirectionSend|DirectionReceive || j.Congestion > CongestionBBR || j.Rate > 1<<50 {
		return j, ErrMalformed
	}
	return j, nil
}

const leaveLength = 5

// Leave is the body of FrameLeave: the local portal has taken a path away, and
// the remote is to send what it has on that path on the others. The remote says
// the same back. It may come on any path.
type Leave struct {
	Path uint8
	// Sequence is that of the path's next message, were there one: a Join before
	// it counts no more, one after it means that the path is there again.
	Sequence uint32
}

// Append appends the frame, header and body.
func (l Leave) Append(b []byte) []byte {
	b = append(b, byte(FrameLeave), 0, leaveLength, l.Path)
	return binary.BigEndian.AppendUint32(b, l.Sequence)
}

// ParseLeave reads the body of a FrameLeave.
func ParseLeave(m []byte) (Leave, error) {
	if len(m) != leaveLength || m[0] >= MaxPaths {
		return Leave{}, ErrMalformed
	}
	return Leave{m[0], binary.BigEndian.Uint32(m[1:])}, nil
}
