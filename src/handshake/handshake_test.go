package handshake

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"netcombiner/src/auth"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

var (
	psk     = [KeySize]byte{1, 2, 3}
	aHello  = Hello{Instance: 0x1122334455667788, InUse: 0b0101, Suites: []auth.ID{9, auth.Blake2s}, Flags: 7}
	aReply  = Reply{Instance: 0x99aabbccddeeff00, Epoch: 1, Suite: auth.Blake2s, Flags: 5}
	someDay = mono.Time(3600e9)
)

// opened is msg, which must be authentic.
func opened(t testing.TB, g *Guard, msg []byte) Message {
	t.Helper()
	m, err := g.Open(msg)
	if err != nil {
		t.Fatalf("Open(%x): %v", msg, err)
	}
	return m
}

// begun is a handshake waiting for its REPLY.
func begun(t testing.TB, g *Guard, h Hello) (*Initiator, []byte) {
	t.Helper()
	i, hello, err := NewInitiator(g, rand.Reader, h)
	if err != nil {
		t.Fatal(err)
	}
	return i, hello
}

// answered is the REPLY to hello, without asking for a cookie.
func answered(t testing.TB, g *Guard, hello []byte, r Reply) ([]byte, Keys) {
	t.Helper()
	responder, _, err := ParseHello(g, rand.Reader, opened(t, g, hello))
	if err != nil {
		t.Fatal(err)
	}
	reply, keys, err := responder.Answer(r)
	if err != nil {
		t.Fatal(err)
	}
	return reply, keys
}

// resealed is msg with an outer MAC that fits: what only the inner layer can refuse.
func resealed(g *Guard, msg []byte) []byte {
	return g.seal(bytes.Clone(msg[:len(msg)-macLen]))
}

// TestStranger is the whole of a first handshake: HELLO, RETRY, HELLO, REPLY.
func TestStranger(t *testing.T) {
	local, remote := NewGuard(psk), NewGuard(psk)
	gate, err := NewGate(remote, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	h := aHello
	i, hello := begun(t, local, h)
	if _, _, err := gate.Admit(someDay, opened(t, remote, hello)); !errors.Is(err, ErrCookie) {
		t.Fatalf("a HELLO without a cookie: %v", err)
	}
	retry, err := gate.Retry(someDay, opened(t, remote, hello))
	if err != nil {
		t.Fatal(err)
	}
	if h.Cookie, err = i.Retry(opened(t, local, retry)); err != nil {
		t.Fatal(err)
	}

	i, hello = begun(t, local, h)
	responder, got, err := gate.Admit(someDay, opened(t, remote, hello))
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("Admit: %+v, %v, want %+v", got, err, h)
	}
	reply, remoteKeys, err := responder.Answer(aReply)
	if err != nil {
		t.Fatal(err)
	}
	said, localKeys, err := i.Finish(opened(t, local, reply))
	if err != nil || said != aReply {
		t.Fatalf("Finish: %+v, %v, want %+v", said, err, aReply)
	}

	if localKeys.Send != remoteKeys.Receive || localKeys.Receive != remoteKeys.Send {
		t.Error("the portals' keys differ")
	}
	if localKeys.Send == localKeys.Receive || localKeys.Send == (Key{}) || localKeys.Receive == (Key{}) {
		t.Error("both directions have one key, or none")
	}
	if len(hello) != HelloLen || len(retry) != RetryLen || len(reply) != ReplyLen {
		t.Errorf("lengths %d, %d, %d differ from those declared", len(hello), len(retry), len(reply))
	}
	if len(retry) > len(hello) || len(reply) > len(hello) {
		t.Error("an answer is longer than its question")
	}
	if _, _, err := responder.Answer(aReply); !errors.Is(err, ErrReplay) {
		t.Errorf("a second answer: %v", err)
	}
	if _, _, err := i.Finish(opened(t, local, reply)); !errors.Is(err, ErrReplay) {
		t.Errorf("the REPLY again: %v", err)
	}
}

// TestRekeyMakesNewKeys: the same message fields give new keys every time.
func TestRekeyMakesNewKeys(t *testing.T) {
	g := NewGuard(psk)
	seen := map[Key]bool{}
	for range 3 {
		i, hello := begun(t, g, aHello)
		reply, keys := answered(t, g, hello, aReply)
		if _, mine, err := i.Finish(opened(t, g, reply)); err != nil || mine.Send != keys.Receive {
			t.Fatalf("Finish: %v", err)
		}
		if seen[keys.Send] || seen[keys.Receive] {
			t.Error("a key came twice")
		}
		seen[keys.Send], seen[keys.Receive] = true, true
	}
}

func TestWrongPSK(t *testing.T) {
	mine, theirs := NewGuard(psk), NewGuard([KeySize]byte{1, 2, 4})
	i, hello := begun(t, mine, aHello)
	if _, err := theirs.Open(hello); !errors.Is(err, ErrMAC) {
		t.Errorf("outer MAC: %v", err)
	}
	// And if the outer MAC did not exist:
	if _, _, err := ParseHello(theirs, rand.Reader, opened(t, theirs, resealed(theirs, hello))); !errors.Is(err, ErrMAC) {
		t.Errorf("HELLO: %v", err)
	}
	_, other := begun(t, theirs, aHello)
	reply, _ := answered(t, theirs, other, aReply)
	copy(reply[prefixLen:], i.echo[:])
	if _, _, err := i.Finish(opened(t, mine, resealed(mine, reply))); !errors.Is(err, ErrMAC) {
		t.Errorf("REPLY: %v", err)
	}
}

// messages is one of each kind, all of one handshake.
func messages(t testing.TB, g *Guard) (i *Initiator, hello, reply, retry []byte) {
	t.Helper()
	i, hello = begun(t, g, aHello)
	reply, _ = answered(t, g, hello, aReply)
	retry, err := g.Retry(opened(t, g, hello), Cookie{1})
	if err != nil {
		t.Fatal(err)
	}
	return i, hello, reply, retry
}

func TestOpenRefusesEveryChange(t *testing.T) {
	g := NewGuard(psk)
	_, hello, reply, retry := messages(t, g)
	for name, msg := range map[string][]byte{"HELLO": hello, "REPLY": reply, "RETRY": retry} {
		for bit := range len(msg) * 8 {
			flipped := bytes.Clone(msg)
			flipped[bit/8] ^= 1 << (bit % 8)
			want := ErrMAC
			if bit/8 < prefixLen {
				want = ErrMalformed
			}
			if m, err := g.Open(flipped); !errors.Is(err, want) || m.Type() != 0 {
				t.Errorf("%s, bit %d flipped: %v, want %v", name, bit, err, want)
			}
		}
		for n := range len(msg) {
			if _, err := g.Open(msg[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
		if _, err := g.Open(append(bytes.Clone(msg), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s and a byte more: %v", name, err)
		}
	}
}

// TestNoiseRefusesEveryChange: as if the outer MAC were broken. The cookie
// and the prefix are bound too.
func TestNoiseRefusesEveryChange(t *testing.T) {
	g := NewGuard(psk)
	i, hello, reply, _ := messages(t, g)
	for n := prefixLen; n < HelloLen-macLen; n++ {
		changed := bytes.Clone(hello)
		changed[n] ^= 0x10
		if _, _, err := ParseHello(g, rand.Reader, opened(t, g, resealed(g, changed))); !errors.Is(err, ErrMAC) {
			t.Errorf("HELLO, byte %d changed: %v", n, err)
		}
	}
	for n := prefixLen; n < ReplyLen-macLen; n++ {
		changed := bytes.Clone(reply)
		changed[n] ^= 0x10
		want := ErrMAC
		if n < prefixLen+EchoSize {
			want = ErrNotOurs
		}
		if _, _, err := i.Finish(opened(t, g, resealed(g, changed))); !errors.Is(err, want) {
			t.Errorf("REPLY, byte %d changed: %v, want %v", n, err, want)
		}
	}
	if _, _, err := i.Finish(opened(t, g, reply)); err != nil {
		t.Errorf("the forgeries spoilt the handshake for the right REPLY: %v", err)
	}
}

func TestSwappedMessages(t *testing.T) {
	g := NewGuard(psk)
	i, hello, reply, retry := messages(t, g)
	other, _ := begun(t, g, aHello)
	gate, err := NewGate(g, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	finish := func(i *Initiator, m Message) error { _, _, err := i.Finish(m); return err }
	again := func(i *Initiator, m Message) error { _, err := i.Retry(m); return err }
	for _, c := range []struct {
		name string
		got  error
		want error
	}{
		{"HELLO to Finish", finish(i, opened(t, g, hello)), ErrMalformed},
		{"RETRY to Finish", finish(i, opened(t, g, retry)), ErrMalformed},
		{"nothing to Finish", finish(i, Message{}), ErrMalformed},
		{"REPLY to Retry", again(i, opened(t, g, reply)), ErrMalformed},
		{"nothing to Retry", again(i, Message{}), ErrMalformed},
		{"another's REPLY", finish(other, opened(t, g, reply)), ErrNotOurs},
		{"another's RETRY", again(other, opened(t, g, retry)), ErrNotOurs},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	for name, msg := range map[string]Message{"REPLY": opened(t, g, reply), "RETRY": opened(t, g, retry), "nothing": {}} {
		_, _, parsed := ParseHello(g, rand.Reader, msg)
		_, _, admitted := gate.Admit(someDay, msg)
		_, retried := gate.Retry(someDay, msg)
		for _, err := range []error{parsed, admitted, retried} {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s taken for a HELLO: %v", name, err)
			}
		}
	}
	// A message under another's type: the MAC covers the type.
	hello[0] = prefix(wire.TypeReply)[0]
	if _, err := g.Open(hello); !errors.Is(err, ErrMalformed) {
		t.Errorf("HELLO called REPLY: %v", err)
	}
}

// TestDowngrade: who sits between the portals and even knows the key of the outer MAC
// cannot make them agree on less than they would.
func TestDowngrade(t *testing.T) {
	g := NewGuard(psk)

	// The answer to a poorer offer of the same portal, passed off as the answer
	// to the better one.
	better, _ := begun(t, g, aHello)
	poor := aHello
	poor.Suites = []auth.ID{auth.Blake2s}
	_, hello := begun(t, g, poor)
	reply, _ := answered(t, g, hello, aReply)
	copy(reply[prefixLen:], better.echo[:])
	if _, _, err := better.Finish(opened(t, g, resealed(g, reply))); !errors.Is(err, ErrMAC) {
		t.Errorf("answer to another offer: %v", err)
	}

	// A responder that breaks the rules: refused on its own side, and on ours.
	for name, bad := range map[string]Reply{
		"suite not offered": {Epoch: 1, Suite: auth.None},
		"no suite":          {Epoch: 1},
		"epoch in use":      {Epoch: 2, Suite: auth.Blake2s},
		"epoch too high":    {Epoch: 4, Suite: auth.Blake2s},
	} {
		i, hello := begun(t, g, aHello)
		r, _, err := ParseHello(g, rand.Reader, opened(t, g, hello))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Answer(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Answer: %v", name, err)
		}
		echo := echoOf(hello)
		forced, _, _, err := r.noise.WriteMessage(append(begin(wire.TypeReply), echo[:]...), bad.payload())
		if err != nil {
			t.Fatal(err)
		}
		if _, keys, err := i.Finish(opened(t, g, g.seal(forced))); !errors.Is(err, ErrMalformed) || keys != (Keys{}) {
			t.Errorf("%s: Finish: %v", name, err)
		}
	}
}

func TestHelloRules(t *testing.T) {
	g := NewGuard(psk)
	for name, change := range map[string]func(*Hello){
		"no suite":       func(h *Hello) { h.Suites = nil },
		"suite zero":     func(h *Hello) { h.Suites = []auth.ID{2, 0, 3} },
		"a suite twice":  func(h *Hello) { h.Suites = []auth.ID{2, 3, 2} },
		"nine suites":    func(h *Hello) { h.Suites = []auth.ID{1, 2, 3, 4, 5, 6, 7, 8, 9} },
		"no epoch free":  func(h *Hello) { h.InUse = 0b1111 },
		"a fifth epoch":  func(h *Hello) { h.InUse = 0b10000 },
		"zero at an end": func(h *Hello) { h.Suites = []auth.ID{0} },
	} {
		h := aHello
		change(&h)
		if _, _, err := NewInitiator(g, rand.Reader, h); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if len(h.Suites) <= MaxSuites {
			if _, err := parseHello(h.payload()); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, parsed: %v", name, err)
			}
		}
	}
}

// TestHelloIsCopied: the caller may use its slice again.
func TestHelloIsCopied(t *testing.T) {
	g := NewGuard(psk)
	h := aHello
	h.Suites = []auth.ID{auth.Blake2s}
	i, hello := begun(t, g, h)
	h.Suites[0] = auth.None
	reply, _ := answered(t, g, hello, aReply)
	if _, _, err := i.Finish(opened(t, g, reply)); err != nil {
		t.Error(err)
	}
}

func TestNoRandomness(t *testing.T) {
	g := NewGuard(psk)
	broken := iotest.ErrReader(errors.New("no entropy"))
	if _, _, err := NewInitiator(g, broken, aHello); err == nil {
		t.Error("NewInitiator made a key of nothing")
	}
	if _, err := NewGate(g, broken); err == nil {
		t.Error("NewGate made a secret of nothing")
	}
	_, hello := begun(t, g, aHello)
	r, _, err := ParseHello(g, broken, opened(t, g, hello))
	if err != nil {
		t.Fatal(err)
	}
	if _, keys, err := r.Answer(aReply); err == nil || keys != (Keys{}) {
		t.Error("Answer made a key of nothing")
	}
}

// TestSecretsDoNotPrint looks for key bytes in whatever fmt, JSON and slog make
// of everything that holds one, by value and by pointer.
func TestSecretsDoNotPrint(t *testing.T) {
	secretKey := [KeySize]byte(bytes.Repeat([]byte{0xa7}, KeySize))
	g := NewGuard(secretKey)
	keys := Keys{Send: secretKey, Receive: secretKey}
	i, hello := begun(t, g, aHello)
	r, _, err := ParseHello(g, rand.Reader, opened(t, g, hello))
	if err != nil {
		t.Fatal(err)
	}
	gate, err := NewGate(g, bytes.NewReader(secretKey[:]))
	if err != nil {
		t.Fatal(err)
	}
	i.noise, r.noise = nil, nil // so that copies by value are safe to print; the keys are in there
	for _, v := range []any{Key(secretKey), keys, &keys, *g, g, *i, i, *r, r, *gate, gate, *gate.jar, gate.jar} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
			text := fmt.Sprintf(verb, v)
			if text != secret {
				t.Errorf("%T prints as %q with %s", v, text, verb)
			}
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "v", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(text)
		for _, leak := range []string{"167,167", "167 167", "a7a7", "A7A7", `\xa7`, hex.EncodeToString(gate.jar.current[:])} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%T: %q in %s", v, leak, out.String())
			}
		}
	}
}

func TestRejectingAllocatesNothing(t *testing.T) {
	g := NewGuard(psk)
	_, hello := begun(t, g, aHello)
	hello[50] ^= 1
	if n := testing.AllocsPerRun(100, func() { _, _ = g.Open(hello) }); n != 0 {
		t.Errorf("%v allocations for a message with a wrong MAC", n)
	}
	hello[50] ^= 1
	gate, err := NewGate(g, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		m, err := g.Open(hello)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := gate.Admit(someDay, m); !errors.Is(err, ErrCookie) {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a recorded HELLO", n)
	}
}
