package session

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// ask has remote answer local's HELLO, and hands the answer back.
func ask(t testing.TB, now mono.Time, local, remote *Session, hello []byte) (answer []byte, remoteErr error) {
	t.Helper()
	if hello == nil {
		t.Fatal("no HELLO was due")
	}
	answer, _, remoteErr = remote.Handle(now, home, opened(t, hello))
	return answer, remoteErr
}

// firstHello begins a round, and returns the HELLO for path 0.
func firstHello(s *Session, now mono.Time) []byte {
	if !s.Round(now) {
		return nil
	}
	return s.Hello(now, 0)
}

// shake runs a handshake with a stranger up to the local side's keys.
func shake(t testing.TB, now mono.Time, local, remote *Session) {
	t.Helper()
	retry, err := ask(t, now, local, remote, firstHello(local, now))
	if !errors.Is(err, handshake.ErrCookie) {
		t.Fatalf("a HELLO without a cookie: %v", err)
	}
	hello, _, err := local.Handle(now, home, opened(t, retry))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := ask(t, now, local, remote, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, events, err := local.Handle(now, home, opened(t, reply)); err != nil || events&EventSend == 0 {
		t.Fatalf("the REPLY: events %b, %v", events, err)
	}
}

// prove lets a message under the local side's keys arrive.
func prove(t testing.TB, now mono.Time, local, remote *Session) Events {
	t.Helper()
	e := opens(remote, local.Sending(now))
	if e == nil {
		t.Fatal("the remote does not open what the local sends")
	}
	return remote.Opened(now, e)
}

func pair(t testing.TB) (local, remote *Session) {
	return newSession(t, true, 1, nil), newSession(t, false, 2, nil)
}

// established is a pair with keys in use on both sides.
func established(t testing.TB, now mono.Time) (local, remote *Session) {
	local, remote = pair(t)
	shake(t, now, local, remote)
	prove(t, now, local, remote)
	return local, remote
}

// rekey makes new keys inside the session, up to the local side's.
func rekey(t testing.TB, now mono.Time, local, remote *Session) {
	t.Helper()
	hello := local.Rekey(now, 0)
	if hello == nil {
		t.Fatal("no rekeying was due")
	}
	reply, _, err := remote.HandleInside(now, wire.FrameHello, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, events, err := local.HandleInside(now, wire.FrameReply, reply); err != nil || events&EventSend == 0 {
		t.Fatalf("the REPLY: events %b, %v", events, err)
	}
}

func count(t *Table) (n int) {
	for _, e := range t {
		if e != nil {
			n++
		}
	}
	return n
}

func TestHandshakeMakesTheSameKeys(t *testing.T) {
	local, remote := pair(t)
	if local.Sending(start) != nil || local.Shaking() {
		t.Fatal("a new session has keys or waits for some")
	}
	shake(t, start, local, remote)
	if remote.Sending(start) != nil {
		t.Error("the remote seals with keys that nobody used yet")
	}
	if events := prove(t, start, local, remote); events != EventKeys|EventSend|EventPeer {
		t.Errorf("the first message under the keys: events %b", events)
	}
	l, r := local.Sending(start), remote.Sending(start)
	if l.Keys.Send != r.Keys.Receive || l.Keys.Receive != r.Keys.Send || l.Suite.ID != auth.Blake2s || l.Number != r.Number {
		t.Errorf("local %+v, remote %+v", l, r)
	}
	if local.Shaking() || local.Handshakes != 1 || remote.Handshakes != 1 {
		t.Error("the handshake is not over")
	}
}

func TestAnyMessageOfAHandshakeMayBeLost(t *testing.T) {
	for lost := 1; lost <= 6; lost++ {
		s := newSim(t, 10*time.Millisecond)
		s.carry = func(n int, _ *message) []time.Duration {
			if n == lost {
				return nil
			}
			return []time.Duration{10 * time.Millisecond}
		}
		s.run(1500 * time.Millisecond)
		if !s.agrees() {
			t.Errorf("message %d lost: no session after 1.5 s", lost)
		}
	}
}

// TestAnyRTTConverges: also where an answer takes longer than the next HELLO,
// or several of them; and no longer than a few round trips.
func TestAnyRTTConverges(t *testing.T) {
	for n, rtt := range []time.Duration{0, 200, 400, 700, 990, 1010, 1500, 2500, 3500} {
		rtt *= time.Millisecond
		t.Run(rtt.String(), func(t *testing.T) {
			s := newSim(t, rtt/2)
			s.paths = 1 + uint8(n%2)*3
			s.run(time.Second + 5*rtt)
			if !s.agrees() {
				t.Fatalf("no session after %v", s.now.Sub(start))
			}
			s.worst = 0
			before := s.remote.Handshakes
			s.run(350 * time.Second) // three rekeyings
			if s.worst > 0 {
				t.Errorf("no session for %v while rekeying", s.worst)
			}
			if n := s.remote.Handshakes - before; n < 2 || n > 4 {
				t.Errorf("%d rekeyings in 350 s", n)
			}
		})
	}
}

// TestTheFirstPathGoesOn: of many that would do, one makes keys, and in two
// round trips, though the HELLOs of further rounds are on their way.
func TestTheFirstPathGoesOn(t *testing.T) {
	const rtt = 400 * time.Millisecond
	s := newSim(t, rtt/2)
	s.paths = 4
	made, carry := 0, s.carry
	s.carry = func(n int, m *message) []time.Duration {
		if len(m.body) == handshake.ReplyLen {
			made++
		}
		return carry(n, m)
	}
	s.run(2*rtt + 2*rtt/2 + 10*simTick)
	if !s.agrees() {
		t.Error("no session after two round trips and the first message")
	}
	if made != 1 {
		t.Errorf("%d keys were made", made)
	}
}

// TestASlowPathDoesNotUndoAQuickOne: HELLOs go on every path, and one that was
// overtaken arrives just before the first message under the keys of the next.
func TestASlowPathDoesNotUndoAQuickOne(t *testing.T) {
	local, remote := pair(t)
	retry, _ := ask(t, start, local, remote, firstHello(local, start))
	slow, _, err := local.Handle(start, home, opened(t, retry))
	if err != nil {
		t.Fatal(err)
	}
	now := start.Add(helloAgain)
	reply, err := ask(t, now, local, remote, firstHello(local, now))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := local.Handle(now, home, opened(t, reply)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := remote.Handle(now, home, opened(t, slow)); err != nil {
		t.Fatal(err)
	}
	prove(t, now, local, remote)
	if opens(local, remote.Sending(now)) == nil {
		t.Error("the keys differ")
	}
}

// TestTheReplyBeforeTheLastCounts: the answer takes longer than a round, and
// the HELLOs of other paths make no keys.
func TestTheReplyBeforeTheLastCounts(t *testing.T) {
	local, remote := pair(t)
	retry, _ := ask(t, start, local, remote, firstHello(local, start))
	hello, _, _ := local.Handle(start, home, opened(t, retry))
	reply, err := ask(t, start, local, remote, hello)
	if err != nil {
		t.Fatal(err)
	}
	next := firstHello(local, start.Add(helloAgain))
	for path := range uint8(5) {
		local.Hello(start.Add(helloAgain), path+1)
	}
	if _, events, err := local.Handle(start, home, opened(t, reply)); err != nil || events&EventSend == 0 {
		t.Fatalf("events %b, %v", events, err)
	}
	if _, err := ask(t, start, local, remote, next); err != nil {
		t.Fatal(err)
	}
	prove(t, start, local, remote)
}

func TestAnswersComeOnce(t *testing.T) {
	local, remote := pair(t)
	hello := firstHello(local, start)
	retry, _ := ask(t, start, local, remote, hello)
	if answer, err := ask(t, start, local, remote, hello); answer != nil || err == nil {
		t.Errorf("a HELLO that came twice: %d bytes, %v", len(answer), err)
	}
	second, _, _ := local.Handle(start, home, opened(t, retry))
	if answer, _, err := local.Handle(start, home, opened(t, retry)); answer != nil || err == nil {
		t.Errorf("a RETRY that came twice: %d bytes, %v", len(answer), err)
	}
	reply, _ := ask(t, start, local, remote, second)
	if answer, err := ask(t, start, local, remote, second); answer != nil || err == nil {
		t.Errorf("a HELLO with a cookie that came twice: %d bytes, %v", len(answer), err)
	}
	if _, _, err := local.Handle(start, home, opened(t, reply)); err != nil {
		t.Fatal(err)
	}
	keys := local.Sending(start)
	if _, events, err := local.Handle(start, home, opened(t, reply)); events != 0 || err == nil || local.Sending(start) != keys {
		t.Errorf("a REPLY that came twice: events %b, %v", events, err)
	}
}

func TestReflectedMessagesAreRefused(t *testing.T) {
	local, remote := pair(t)
	hello := firstHello(local, start)
	if answer, events, err := local.Handle(start, home, opened(t, hello)); answer != nil || events != 0 || err == nil {
		t.Errorf("the local takes its own HELLO: %d bytes, events %b, %v", len(answer), events, err)
	}
	retry, _ := ask(t, start, local, remote, hello)
	if answer, events, err := remote.Handle(start, home, opened(t, retry)); answer != nil || events != 0 || err == nil {
		t.Errorf("the remote takes its own RETRY: %d bytes, events %b, %v", len(answer), events, err)
	}
	second, _, _ := local.Handle(start, home, opened(t, retry))
	reply, _ := ask(t, start, local, remote, second)
	if answer, events, err := remote.Handle(start, home, opened(t, reply)); answer != nil || events != 0 || err == nil {
		t.Errorf("the remote takes its own REPLY: %d bytes, events %b, %v", len(answer), events, err)
	}
	// A portal with this session's own instance is this one.
	guard := handshake.NewGuard(psk)
	_, own, err := handshake.NewInitiator(guard, rand.Reader, handshake.Hello{Instance: remote.instance, Suites: []auth.ID{auth.Blake2s}})
	if err != nil {
		t.Fatal(err)
	}
	if answer, _, err := remote.HandleInside(start, wire.FrameHello, own); answer != nil || err == nil {
		t.Errorf("the remote answers itself: %d bytes, %v", len(answer), err)
	}
}

// TestAnswersToStrangersAreBounded: RETRYs are, and keep out neither who brings a
// cookie nor who asks from elsewhere.
func TestAnswersToStrangersAreBounded(t *testing.T) {
	local, remote := pair(t)
	remote.retries.seed = apart(t, home, elsewhere)
	honest := firstHello(local, start)
	retry, _ := ask(t, start, local, remote, honest)
	hello, _, _ := local.Handle(start, home, opened(t, retry))
	answers := 0
	flood := func(now mono.Time) {
		for range 100 {
			stranger := newSession(t, true, byte(3+answers), func(c *Config) { c.Random = rand.Reader })
			if answer, _ := ask(t, now, stranger, remote, firstHello(stranger, now)); answer != nil {
				answers++
			}
		}
	}
	flood(start)
	if answers != retriesRate-1 {
		t.Errorf("%d of 100 HELLOs at once were answered", answers)
	}
	answers = 0
	flood(start.Add(500 * time.Millisecond))
	if answers != retriesRate/2 {
		t.Errorf("%d were answered half a second later", answers)
	}
	if _, err := ask(t, start.Add(500*time.Millisecond), local, remote, hello); err != nil {
		t.Errorf("a HELLO with a cookie amid the flood: %v", err)
	}
	other := newSession(t, true, 1, func(c *Config) { c.Random = rand.Reader })
	again := opened(t, firstHello(other, start))
	flood(start.Add(time.Second))
	if answer, _, _ := remote.Handle(start.Add(time.Second), elsewhere, again); answer == nil {
		t.Error("who asked from elsewhere amid the flood got no answer")
	}
}

// TestMisfitsAreRefused: where the configurations do not fit, both ends say
// why, and neither makes keys.
func TestMisfitsAreRefused(t *testing.T) {
	none := func(c *Config) { c.Offer = []auth.ID{auth.None} }
	bind := func(c *Config) { c.Addresses = true }
	for _, c := range []struct {
		name          string
		local, remote func(*Config)
		want          error
	}{
		{"none here", none, nil, auth.ErrNoSuite},
		{"none there", nil, none, auth.ErrNoSuite},
		{"addresses here", bind, nil, ErrAddresses},
		{"addresses there", nil, bind, ErrAddresses},
		{"none on both", none, none, nil},
		{"addresses on both", bind, bind, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			local, remote := newSession(t, true, 1, c.local), newSession(t, false, 2, c.remote)
			retry, _ := ask(t, start, local, remote, firstHello(local, start))
			hello, _, _ := local.Handle(start, home, opened(t, retry))
			answer, remoteErr := ask(t, start, local, remote, hello)
			if !errors.Is(remoteErr, c.want) || answer == nil {
				t.Fatalf("the remote answers %d bytes and says %v", len(answer), remoteErr)
			}
			_, _, err := local.Handle(start, home, opened(t, answer))
			if !errors.Is(err, c.want) {
				t.Errorf("the local says %v", err)
			}
			if made := count(local.Table()) + count(remote.Table()); (made != 0) != (c.want == nil) {
				t.Errorf("%d keys were made", made)
			}
			if c.want == nil {
				return
			}
			if local.Round(start.Add(refusedAgain-1)) || !local.Round(start.Add(refusedAgain)) {
				t.Error("the next try is not after 5 s")
			}
		})
	}
}
