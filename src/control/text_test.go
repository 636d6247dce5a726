package control

import (
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func example() *Status {
	return &Status{
		Interface: "nc0", Role: "local", Version: "1.0", UptimeS: 7384.2, MTU: 1420,
		Session: Session{State: "established", Suite: "blake2s", AgeS: 41, Handshakes: 1},
		Paths: []Path{
			{Name: "dsl", Transport: "udp", Local: "192.0.2.7:50000", Remote: "203.0.113.9:4725", State: "up", Congestion: "newreno",
				RTTMs: 31.24, RTTMinMs: 30.1, Loss: 0.0123, RateBps: 15_800_000, WindowPackets: 52, InFlightPackets: 40,
				Tx: Count{1000, 1288490189}, Rx: Count{10, 900}, LostPackets: 12, ReinjectedPackets: 3},
			{Name: "lte", Transport: "tcp", Local: "wwan0", Remote: "vps.example.org:4725", State: "connecting", Metric: 10, Congestion: "none",
				WindowPackets: 32768, InFlightPackets: 2},
		},
		Tunnel: Tunnel{
			Tx: Count{1000, 1200000000}, Rx: Count{10, 840},
			Queue:       Queue{Packets: 3, Bytes: 4200, DelayMs: 0.31, Dropped: 7},
			Resequencer: Resequencer{Held: 2, ReleasedLate: 5, HoldMs: 12},
		},
		Rejected: Rejected{Mac: 1, Replay: 2, Malformed: 3, Source: 4},
	}
}

func TestText(t *testing.T) {
	want := `interface: nc0 (local portal)
  running: 2h 3m, netcombiner 1.0, mtu 1420
  session: established, blake2s, keys 41s old, 1 handshake
  tunnel: 1.20 GB sent, 840 B received
  queue: 3 packets, 4.20 kB, 0.3 ms, 7 dropped, 0 marked
  resequencer: 2 held, at most 12.0 ms, 5 released late
  rejected: 1 mac, 2 replay, 3 malformed, 4 source

  path  state       share         rate      rtt   loss
  dsl   up          100 %  15.8 Mbit/s  31.2 ms  1.2 %
  lte   connecting    0 %      0 bit/s        -  0.0 %

  path     sent  received  lost  rescued  flight  min rtt
  dsl   1.29 GB     900 B    12        3   40/52  30.1 ms
  lte       0 B       0 B     0        0     2/-        -

  path  by           metric  local            remote
  dsl   udp/newreno       0  192.0.2.7:50000  203.0.113.9:4725
  lte   tcp              10  wwan0            vps.example.org:4725
`
	if diff := cmp.Diff(want, Text(example(), nil, Style{})); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// watched is what was seen of a tunnel, one look after the other.
func watched(all ...*Status) *Recent {
	r := new(Recent)
	for _, s := range all {
		r.Add(s)
	}
	return r
}

// Whoever looks on is told how fast it goes, by the daemon's clock.
func TestTextWithSpeed(t *testing.T) {
	before, now := example(), example()
	before.UptimeS -= 2
	before.Paths[0].Tx.Bytes -= 1_000_000
	before.Tunnel.Rx.Bytes -= 500
	before.Paths[1].Name = "other"
	got := Text(now, watched(before, now), Style{})
	for _, want := range []string{"now 0 bit/s out, 2.00 kbit/s in", "  path          out                             in\n  dsl   4.00 Mbit/s                     █  0 bit/s                     ▁\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	before.UptimeS = now.UptimeS + 1000 // the daemon was restarted
	if got := Text(now, watched(before, now), Style{}); !strings.Contains(got, "now - out") {
		t.Errorf("speed over a restart:\n%s", got)
	}
}

// A spark line moves to the left, and its highest is its own.
func TestSparks(t *testing.T) {
	r, now := new(Recent), example()
	r.Add(now)
	for i := range 30 {
		next := *now
		next.Paths = slices.Clone(now.Paths)
		next.UptimeS++
		next.Paths[0].Tx.Bytes += uint64(i%8) * 1000
		next.Paths[1].Rx.Bytes += 5
		now = &next
		r.Add(now)
	}
	if got, want := r.spark("dsl", out, 20, Style{}), "▃▄▅▆▇█▁▂▃▄▅▆▇█▁▂▃▄▅▆"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := r.spark("dsl", out, 10, Style{ASCII: true}), "+*%#_.-=+*"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := r.spark("dsl", in, 3, Style{}); got != "▁▁▁" {
		t.Errorf("nothing received: %q", got)
	}
	if got := r.spark("lte", in, 3, Style{}); got != "███" {
		t.Errorf("evenly received: %q", got)
	}
	if got := r.spark("unheard of", in, 3, Style{}); got != "   " {
		t.Errorf("%q", got)
	}
}

// Of the bytes lately, or where there were none, of all.
func TestShares(t *testing.T) {
	before, now := example(), example()
	for _, s := range []*Status{before, now} {
		s.Paths[0].Tx.Bytes, s.Paths[0].Rx.Bytes = 700, 0
		s.Paths[1].Tx.Bytes, s.Paths[1].Rx.Bytes = 200, 100
	}
	expect := func(before *Status, want ...string) {
		t.Helper()
		for i := range want {
			if got := share(now, before, &now.Paths[i]); got != want[i] {
				t.Errorf("%s carried %s, want %s", now.Paths[i].Name, got, want[i])
			}
		}
	}
	expect(nil, "70 %", "30 %")
	expect(before, "70 %", "30 %")
	now.Paths[1].Rx.Bytes += 5
	expect(before, "0 %", "100 %")
	now.Paths[0].Tx.Bytes = 5 // a path made anew
	expect(before, "0 %", "100 %")
	now.Paths = now.Paths[:1]
	now.Paths[0].Tx.Bytes = 0
	expect(nil, "-")
}

func TestColours(t *testing.T) {
	st := example()
	st.Paths[0].Loss = 0.06
	st.Paths[1].Quota = &Quota{UsedBytes: 9, LimitBytes: 10}
	plain, coloured := Text(st, nil, Style{}), Text(st, nil, Style{Colour: true})
	for _, want := range []string{"\x1b[32mup\x1b[0m          100 %", "\x1b[33mconnecting\x1b[0m    0 %", "\x1b[31m6.0 %\x1b[0m", "\x1b[33m90 %\x1b[0m"} {
		if !strings.Contains(coloured, want) {
			t.Errorf("no %q in:\n%s", want, coloured)
		}
	}
	if got := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured, ""); got != plain {
		t.Errorf("colours move the text:\n%s\n%s", got, plain)
	}
	if strings.Contains(plain, "\x1b") {
		t.Error("colours where there are none")
	}
}

// A peer's names reach the terminal as text, and no other bytes do.
func TestNamesAreHarmless(t *testing.T) {
	st := example()
	st.Paths[0].Name, st.Paths[0].Remote = "\x1b[2J\r\nd\"s\x00l\u202e", "\x1b]0;x\a"
	st.Paths[1].Name = "starlink-of-the-neighbours-dish-2"
	st.Totals = []Month{{Month: "2026-11", Paths: []PathTotal{{Name: st.Paths[0].Name}}}}
	got := Text(st, watched(st), Style{})
	if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(got, "  starl~ish-2  ") {
		t.Errorf("the name's ends are not in:\n%s", got)
	}
}

func TestTextWithMonths(t *testing.T) {
	st := example()
	st.Totals = []Month{
		{Month: "2026-11", Tunnel: Carried{Tx: Count{1, 2e9}, Rx: Count{1, 3e9}}, Paths: []PathTotal{{Name: "dsl", Tx: Count{1, 2.2e9}, Rx: Count{1, 3.3e9}}}},
		{Month: "2026-10", Tunnel: Carried{Rx: Count{1, 1e9}}, Paths: []PathTotal{{Name: "gone", Rx: Count{1, 1.1e9}}}},
		{Month: "2026-09"},
	}
	got := Text(st, nil, Style{})
	const want = `
  month          2026-11 sent  received  2026-10 sent  received
  dsl                 2.20 GB   3.30 GB           0 B       0 B
  gone                    0 B       0 B           0 B   1.10 GB
  in the tunnel       2.00 GB   3.00 GB           0 B   1.00 GB
`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got:\n%s", got)
	}
}

// What a busy tunnel over IPv4 has to show stands in 80 columns.
func TestTextIsNotTooWide(t *testing.T) {
	now := &Status{
		Interface: "netcombiner0", Role: "remote", Version: "10.11.12", UptimeS: 99*86400 + 86399, MTU: 1420,
		Session: Session{State: "established", Suite: "chacha20poly1305", AgeS: 119, Handshakes: 123456},
		Tunnel: Tunnel{Tx: Count{Bytes: 999 << 30}, Rx: Count{Bytes: 999 << 30},
			Queue:       Queue{Packets: 1000, Bytes: 1023 << 10, DelayMs: 100.5, Dropped: 123456, Marked: 123456},
			Resequencer: Resequencer{Held: 1000, ReleasedLate: 123456, HoldMs: 300}},
		Rejected: Rejected{Mac: 1234567, Replay: 1234567, Malformed: 1234567, Source: 1234567},
	}
	for _, name := range []string{"dsl", "starlink", strings.Repeat("long", 8)} {
		now.Paths = append(now.Paths, Path{Name: name, Transport: "udp", Local: "192.168.178.254:54321", Remote: "203.110.113.254:54321",
			State: "connecting", Metric: 100, Congestion: "newreno", RTTMs: 1234.5, RTTMinMs: 123.4, Loss: 0.123, RateBps: 999e6,
			WindowPackets: 12345, InFlightPackets: 12345, Tx: Count{Bytes: 999 << 30}, Rx: Count{Bytes: 999 << 30},
			LostPackets: 1234567, ReinjectedPackets: 123456, Quota: &Quota{UsedBytes: 999e9, LimitBytes: 1, Resets: "2026-12-01"}})
	}
	month := Month{Month: "2026-11", Tunnel: Carried{Count{1, 999e9}, Count{1, 999e9}}, Paths: []PathTotal{{Name: strings.Repeat("long", 8)}}}
	now.Totals = []Month{month, month}
	before := *now
	before.UptimeS--
	before.Paths = []Path{{Name: "dsl", Tx: Count{Bytes: 999<<30 - 100e6}, Rx: Count{Bytes: 999<<30 - 100e6}}}
	before.Tunnel.Tx.Bytes -= 100e6
	before.Tunnel.Rx.Bytes -= 100e6
	for _, text := range []string{Text(now, nil, Style{}), Text(now, watched(&before, now), Style{})} {
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

func TestTextWithHints(t *testing.T) {
	got := Text(&Status{Interface: "nc0", Role: "remote", Hints: []string{"do this", "and that"}}, nil, Style{})
	if !strings.Contains(got, "source\n  hint: do this\n  hint: and that\n  paths") {
		t.Errorf("got:\n%s", got)
	}
}

func TestTextWithQuotas(t *testing.T) {
	st := example()
	st.Paths[1].Quota = &Quota{UsedBytes: 12_340_000_000, LimitBytes: 50_000_000_000, Resets: "2026-12-01"}
	got := Text(st, nil, Style{})
	if !strings.Contains(got, "source\n  quota: lte, 12.3 GB of 50.0 GB used, anew on 2026-12-01\n\n") {
		t.Errorf("got:\n%s", got)
	}
	st.Paths[1].Quota.Resets = ""
	if got := Text(st, nil, Style{}); !strings.Contains(got, "50.0 GB used\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestTextWithoutPaths(t *testing.T) {
	got := Text(&Status{Interface: "nc0", Role: "remote", Session: Session{State: "none"}}, nil, Style{})
	if !strings.Contains(got, "session: none\n") || !strings.HasSuffix(got, "paths: none yet\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestFrame(t *testing.T) {
	want := "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"
	if got := frame("a\nb\nc\n", 2); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeysEndTheView(t *testing.T) {
	for keys, left := range map[string]string{"qz": "z", "xyQz": "z", "\x03z": "z", "\x04z": "z", "a\x1b[Aqz": "z", "abc": "", "": ""} {
		in := strings.NewReader(keys)
		waitForKey(in) // at the latest at the end
		if rest, _ := io.ReadAll(in); string(rest) != left {
			t.Errorf("%q ended the view before %q, not %q", keys, rest, left)
		}
	}
}

func TestWatchWithoutTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	shown := 0
	err = Watch(ctx, os.Stdin, w, time.Millisecond, func() string {
		if shown++; shown == 3 {
			cancel()
		}
		return "line\n"
	})
	w.Close()
	text, _ := io.ReadAll(r)
	if err != nil || string(text) != "line\n\nline\n\nline\n" {
		t.Errorf("%q, %v", text, err)
	}
}
