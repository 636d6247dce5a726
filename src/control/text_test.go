package control

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
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
  tunnel: 1.12 GiB sent, 840 B received
  queue: 3 packets, 4.10 KiB, 0.3 ms, 7 dropped, 0 marked
  resequencer: 2 held, at most 12.0 ms, 5 released late
  rejected: 1 mac, 2 replay, 3 malformed, 4 source

  path  state           rtt      min   loss         rate  flight
  dsl   up          31.2 ms  30.1 ms  1.2 %  15.8 Mbit/s   40/52
  lte   connecting        -        -  0.0 %      0 bit/s     2/-

  path      sent  received  lost  rescued
  dsl   1.20 GiB     900 B    12        3
  lte        0 B       0 B     0        0

  path  by           metric  local            remote
  dsl   udp/newreno       0  192.0.2.7:50000  203.0.113.9:4725
  lte   tcp              10  wwan0            vps.example.org:4725
`
	if diff := cmp.Diff(want, Text(example(), nil)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// With a status of before, the text says how fast it goes, by the daemon's clock.
func TestTextWithSpeed(t *testing.T) {
	before, now := example(), example()
	before.UptimeS -= 2
	before.Paths[0].Tx.Bytes -= 1_000_000
	before.Tunnel.Rx.Bytes -= 500
	before.Paths[1].Name = "other"
	got := Text(now, before)
	for _, want := range []string{"now 0 bit/s out, 2.00 kbit/s in", "3  4.00 Mbit/s  0 bit/s"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	before.UptimeS = now.UptimeS + 1000 // the daemon was restarted
	if got := Text(now, before); !strings.Contains(got, "now - out") {
		t.Errorf("speed over a restart:\n%s", got)
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
	for _, name := range []string{"dsl", "starlink"} {
		now.Paths = append(now.Paths, Path{Name: name, Transport: "udp", Local: "192.168.178.254:54321", Remote: "203.110.113.254:54321",
			State: "connecting", Metric: 100, Congestion: "newreno", RTTMs: 1234.5, RTTMinMs: 123.4, Loss: 0.123, RateBps: 999e6,
			WindowPackets: 12345, InFlightPackets: 12345, Tx: Count{Bytes: 999 << 30}, Rx: Count{Bytes: 999 << 30},
			LostPackets: 1234567, ReinjectedPackets: 123456})
	}
	before := *now
	before.UptimeS--
	before.Paths = []Path{{Name: "dsl", Tx: Count{Bytes: 999<<30 - 100e6}, Rx: Count{Bytes: 999<<30 - 100e6}}}
	before.Tunnel.Tx.Bytes -= 100e6
	before.Tunnel.Rx.Bytes -= 100e6
	for _, text := range []string{Text(now, nil), Text(now, &before)} {
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

func TestTextWithHints(t *testing.T) {
	got := Text(&Status{Interface: "nc0", Role: "remote", Hints: []string{"do this", "and that"}}, nil)
	if !strings.Contains(got, "source\n  hint: do this\n  hint: and that\n  paths") {
		t.Errorf("got:\n%s", got)
	}
}

func TestTextWithQuotas(t *testing.T) {
	st := example()
	st.Paths[1].Quota = &Quota{UsedBytes: 12_340_000_000, LimitBytes: 50_000_000_000, Resets: "2026-12-01"}
	got := Text(st, nil)
	if !strings.Contains(got, "source\n  quota: lte, 12.3 GB of 50.0 GB used, anew on 2026-12-01\n\n") {
		t.Errorf("got:\n%s", got)
	}
	st.Paths[1].Quota.Resets = ""
	if got := Text(st, nil); !strings.Contains(got, "50.0 GB used\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestTextWithoutPaths(t *testing.T) {
	got := Text(&Status{Interface: "nc0", Role: "remote", Session: Session{State: "none"}}, nil)
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
	for _, keys := range []string{"q", "xyQ", "\x03", "abc", ""} {
		waitForKey(strings.NewReader(keys)) // at the latest at the end
	}
	r, w := io.Pipe()
	ended := make(chan bool)
	go func() { waitForKey(r); close(ended) }()
	_, _ = w.Write([]byte("a\x1b[A"))
	select {
	case <-ended:
		t.Error("another key ended the view")
	default:
	}
	_, _ = w.Write([]byte("q"))
	<-ended
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
