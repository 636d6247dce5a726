package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderRoundTrip(t *testing.T) {
	want := Header{Type: TypeData, HasAck: true, Epoch: 3, Path: 63, Sequence: 0xdeadbeef}
	m := want.Append(nil)
	if len(m) != HeaderSize {
		t.Fatalf("header is %d bytes", len(m))
	}
	got, rest, err := ParseHeader(append(m, 'x'))
	if err != nil || string(rest) != "x" {
		t.Fatal(err, rest)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestForeignMessagesAreMalformed(t *testing.T) {
	good := (&Header{Type: TypeControl}).Append(nil)
	for name, m := range map[string][]byte{
		"empty":         nil,
		"cut":           good[:HeaderSize-1],
		"other version": append([]byte{2<<versionShift | 4}, good[1:]...),
		"type 0":        append([]byte{Version << versionShift}, good[1:]...),
		"type 7":        append([]byte{Version<<versionShift | 7}, good[1:]...),
		"hello":         append([]byte{Version<<versionShift | 1}, good[1:]...),
		"ack of none":   append([]byte{Version<<versionShift | 6}, good[1:]...),
	} {
		if _, _, err := ParseHeader(m); err != ErrMalformed {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		low  uint32
		near uint64
		want uint64
	}{
		{5, 0, 5},
		{0xffffffff, 0, 0xffffffff}, // never below zero
		{5, 0xfffffff0, 0x1_0000_0005},
		{0xfffffff0, 0x1_0000_0005, 0xfffffff0},
		{7, 0x5_0000_0000, 0x5_0000_0007},
	} {
		if got := Expand(c.low, c.near); got != c.want {
			t.Errorf("Expand(%#x, %#x) = %#x, want %#x", c.low, c.near, got, c.want)
		}
	}
}

var exampleAck = Ack{Ack: 1000, Nack: 990, Largest: 1005, ReceivedAt: 123456, Delay: 7,
	Delivered: 1 << 31, Words: 2, Received: [MaxAckWords]uint64{0b1011, 1 << 63}}

var exampleJoin = Join{Metric: 10, Direction: DirectionSend | DirectionReceive,
	Congestion: CongestionNewReno, Rate: 40e6, Name: "dsl"}

var exampleLeave = Leave{Path: 63, Sequence: 0x01020304}

func TestAckRoundTrip(t *testing.T) {
	m := exampleAck.Append(nil)
	if len(m) != exampleAck.Size() {
		t.Errorf("length %d, Size %d", len(m), exampleAck.Size())
	}
	var got Ack
	rest, err := ParseAck(append(m, 1, 2), &got)
	if err != nil || len(rest) != 2 {
		t.Fatal(err, rest)
	}
	if d := cmp.Diff(exampleAck, got); d != "" {
		t.Error(d)
	}
	for n := range m {
		if _, err := ParseAck(m[:n], &got); err == nil {
			t.Errorf("cut to %d bytes it still parses", n)
		}
	}
}

func TestFrames(t *testing.T) {
	m := exampleJoin.Append(nil)
	m = AppendFrame(m, FrameChallenge, []byte("12345678"))
	m = exampleLeave.Append(m)
	m = append(m, make([]byte, 20)...) // padding
	f, m, err := NextFrame(m)
	if err != nil || f.Type != FrameJoin {
		t.Fatal(f, err)
	}
	got, err := ParseJoin(f.Body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(exampleJoin, got); d != "" {
		t.Error(d)
	}
	f, m, err = NextFrame(m)
	if err != nil || f.Type != FrameChallenge || string(f.Body) != "12345678" {
		t.Fatal(f, err)
	}
	f, m, err = NextFrame(m)
	if err != nil || f.Type != FrameLeave {
		t.Fatal(f, err)
	}
	if l, err := ParseLeave(f.Body); l != exampleLeave || err != nil {
		t.Error(l, err)
	}
	f, m, err = NextFrame(m)
	if err != nil || f.Type != FramePadding || len(m) != 0 {
		t.Fatal(f, m, err)
	}
	if _, _, err := NextFrame([]byte{99, 0, 0}); err == nil {
		t.Error("an unknown frame is accepted")
	}
}

func TestMalformedLeaves(t *testing.T) {
	good := exampleLeave.Append(nil)[frameHeader:]
	for name, m := range map[string][]byte{
		"empty":   nil,
		"cut":     good[:leaveLength-1],
		"long":    append(good[:leaveLength:leaveLength], 0),
		"path 64": append([]byte{MaxPaths}, good[1:]...),
	} {
		if _, err := ParseLeave(m); err != ErrMalformed {
			t.Errorf("%s: err = %v", name, err)
		}
	}
}

var update = flag.Bool("update", false, "rewrite testdata/vectors.json")

// TestVectors holds the layout to the bytes published in testdata, which
// PROTOCOL.md refers to.
func TestVectors(t *testing.T) {
	header := Header{Type: TypeData, HasAck: true, Epoch: 2, Path: 5, Sequence: 0x01020304}
	got := map[string]string{
		"header: data, ack, epoch 2, path 5, sequence 0x01020304":            hex.EncodeToString(header.Append(nil)),
		"ack: 1000/990, largest 1005, at 123456, delay 7, 2^31, 2 words":     hex.EncodeToString(exampleAck.Append(nil)),
		"join: metric 10, both directions, newreno, 40 Mbit/s, name \"dsl\"": hex.EncodeToString(exampleJoin.Append(nil)),
		"leave: path 63, next sequence 0x01020304":                           hex.EncodeToString(exampleLeave.Append(nil)),
		"challenge: \"12345678\"":                                            hex.EncodeToString(AppendFrame(nil, FrameChallenge, []byte("12345678"))),
	}
	const file = "testdata/vectors.json"
	if *update {
		b, _ := json.MarshalIndent(got, "", "  ")
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	h := Header{Type: TypeData, HasAck: true, Epoch: 1, Path: 2, Sequence: 3}
	f.Add(append(exampleAck.Append(h.Append(nil)), "payload"...))
	f.Add(exampleJoin.Append((&Header{Type: TypeControl}).Append(nil)))
	f.Add(exampleLeave.Append((&Header{Type: TypeControl}).Append(nil)))
	f.Fuzz(func(t *testing.T, m []byte) {
		h, rest, err := ParseHeader(m)
		if err != nil {
			return
		}
		again := h.Append(nil)
		if h.HasAck {
			var a Ack
			if rest, err = ParseAck(rest, &a); err != nil {
				return
			}
			again = a.Append(again)
		}
		if again = append(again, rest...); !bytes.Equal(again, m) {
			t.Fatalf("%x parsed and written is %x", m, again)
		}
		for len(rest) > 0 {
			var fr Frame
			if fr, rest, err = NextFrame(rest); err != nil {
				return
			}
			written := AppendFrame(nil, fr.Type, fr.Body)
			switch fr.Type {
			case FrameJoin:
				if j, err := ParseJoin(fr.Body); err == nil && !bytes.Equal(j.Append(nil), written) {
					t.Fatalf("%x parsed and written is %x", written, j.Append(nil))
				}
			case FrameLeave:
				if l, err := ParseLeave(fr.Body); err == nil && !bytes.Equal(l.Append(nil), written) {
					t.Fatalf("%x parsed and written is %x", written, l.Append(nil))
				}
			}
		}
	})
}
