package handshake

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"netcombiner/src/auth"
)

// bytesOf is a []byte written in hex.
type bytesOf []byte

func (b *bytesOf) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// number is a uint64 written in hex, for JSON's own numbers lose bits.
type number uint64

func (n *number) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 16, 64)
	*n = number(v)
	return err
}

// TestVectors holds the code to testdata/vectors.py, which shares no code with it.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name      string
		PSK       bytesOf
		Initiator bytesOf `json:"initiator_ephemeral_private"`
		Responder bytesOf `json:"responder_ephemeral_private"`
		Hello     struct {
			Instance number
			Cookie   bytesOf
			InUse    uint8 `json:"in_use"`
			Flags    uint8
			Suites   []uint16
		}
		Reply struct {
			Instance            number
			Epoch, Suite, Flags uint8
		}
		RetryCookie  bytesOf `json:"retry_cookie"`
		HelloMessage bytesOf `json:"hello_message"`
		RetryMessage bytesOf `json:"retry_message"`
		ReplyMessage bytesOf `json:"reply_message"`
		ToResponder  bytesOf `json:"key_initiator_to_responder"`
		ToInitiator  bytesOf `json:"key_responder_to_initiator"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			g := NewGuard([KeySize]byte(v.PSK))
			h := Hello{Instance: uint64(v.Hello.Instance), Cookie: Cookie(v.Hello.Cookie), InUse: v.Hello.InUse, Flags: v.Hello.Flags}
			for _, s := range v.Hello.Suites {
				h.Suites = append(h.Suites, auth.ID(s))
			}
			r := Reply{uint64(v.Reply.Instance), v.Reply.Epoch, auth.ID(v.Reply.Suite), v.Reply.Flags}

			i, hello, err := NewInitiator(g, bytes.NewReader(v.Initiator), h)
			if err != nil || !bytes.Equal(hello, v.HelloMessage) {
				t.Fatalf("HELLO %x, %v\nwant  %x", hello, err, v.HelloMessage)
			}
			retry, err := g.Retry(opened(t, g, hello), Cookie(v.RetryCookie))
			if err != nil || !bytes.Equal(retry, v.RetryMessage) {
				t.Fatalf("RETRY %x, %v\nwant  %x", retry, err, v.RetryMessage)
			}
			responder, _, err := ParseHello(g, bytes.NewReader(v.Responder), opened(t, g, hello))
			if err != nil {
				t.Fatal(err)
			}
			reply, keys, err := responder.Answer(r)
			if err != nil || !bytes.Equal(reply, v.ReplyMessage) {
				t.Fatalf("REPLY %x, %v\nwant  %x", reply, err, v.ReplyMessage)
			}
			if !bytes.Equal(keys.Receive[:], v.ToResponder) || !bytes.Equal(keys.Send[:], v.ToInitiator) {
				t.Errorf("responder's keys differ from the vector's")
			}
			_, keys, err = i.Finish(opened(t, g, reply))
			if err != nil || !bytes.Equal(keys.Send[:], v.ToResponder) || !bytes.Equal(keys.Receive[:], v.ToInitiator) {
				t.Errorf("initiator's keys differ from the vector's: %v", err)
			}
		})
	}
}
