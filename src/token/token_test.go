package token

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

var made = time.Unix(1795400000, 0) // 2026-11-23

func example() *Token {
	var key config.Key
	for i := range key {
		key[i] = byte(i + 1)
	}
	return &Token{
		Key: key, Host: "203.0.113.2", Ways: []Way{{"udp", 4725}, {"tcp", 443}},
		Address: []netip.Prefix{netip.MustParsePrefix("172.19.152.3/31"), netip.MustParsePrefix("fd19:152::3/127")},
		Suite:   "auto", Routing: config.RoutingNAT, Made: made, Expires: made.Add(24 * time.Hour),
	}
}

func encoded(t testing.TB, tok *Token) string {
	t.Helper()
	text, err := tok.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The format is for ever: this token was made by the first version.
const vector = "nc1.AAFrA6FAAAFRgAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gCzIwMy4wLjExMy4yAgASdQEBuwIfBKwTmAN_EP0ZAVIAAAAAAAAAAAAAAAOz86Ej"

func TestVector(t *testing.T) {
	if got := encoded(t, example()); got != vector {
		t.Errorf("Encode = %s, want %s", got, vector)
	}
	got, err := Parse(vector)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Error(diff)
	}
}

func TestParseMindsNoBlanks(t *testing.T) {
	broken := "  " + vector[:40] + "\r\n" + vector[40:80] + "\n\t" + vector[80:] + "\n"
	if _, err := Parse(broken); err != nil {
		t.Error(err)
	}
}

// Whatever one character becomes, and wherever a copy ends, it is noticed.
func TestMangled(t *testing.T) {
	for i := range vector {
		for _, c := range "A_z9." {
			changed := vector[:i] + string(c) + vector[i+1:]
			if changed == vector {
				continue
			}
			if _, err := Parse(changed); err == nil {
				t.Errorf("character %d changed to %c, and nobody noticed", i, c)
			}
		}
		if _, err := Parse(vector[:i]); err == nil {
			t.Errorf("cut after %d characters, and nobody noticed", i)
		}
	}
	for text, want := range map[string]string{
		vector[:60]:                     "mangled: copied whole?",
		strings.ToLower(vector):         "mangled: copied whole?",
		vector[4:]:                      "begins with nc1.",
		"":                              "begins with nc1.",
		"nc2.AAAA":                      "another version",
		vector + vector:                 "mangled",
		strings.Repeat("A", MaxSize+1):  "longer than",
		"nc1." + strings.Repeat(" ", 9): "mangled",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.20q) = %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "AQIDBA") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

// sealed is a token with a right sum around any body.
func sealed(body []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(body, crc32.ChecksumIEEE(body)))
}

// What no version of ours would make is refused, though its sum is right.
func TestForged(t *testing.T) {
	raw, _ := base64.RawURLEncoding.DecodeString(vector[len(prefix):])
	raw = raw[:len(raw)-4]
	change := func(at int, to ...byte) []byte {
		b := append([]byte(nil), raw...)
		copy(b[at:], to)
		return b
	}
	for name, body := range map[string][]byte{
		"suite": change(0, 99), "routing": change(1, 3), "date": change(2, 0, 0, 0, 0), "key": change(10, make([]byte, 32)...),
		"host": change(43, '\n'), "host's length": change(42, 255), "no host": append(change(42, 0)[:43], raw[54:]...),
		"ways": change(54, 200), "no ways": change(54, 0), "port": change(56, 0, 0), "transport": change(55, 7),
		"bits": change(62, 33), "address": change(63, 5), "more": append(change(0), 0), "empty": nil,
	} {
		if tok, err := Parse(sealed(body)); err == nil {
			t.Errorf("%s: taken for %+v", name, tok)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Token){
		"host":     func(t *Token) { t.Host = "a\nKey = b" },
		"long":     func(t *Token) { t.Host = strings.Repeat("a", 254) },
		"way":      func(t *Token) { t.Ways = nil },
		"port":     func(t *Token) { t.Ways[0].Port = 0 },
		"key":      func(t *Token) { t.Key = config.Key{} },
		"expiry":   func(t *Token) { t.Expires = t.Made },
		"dateless": func(t *Token) { t.Made = time.Time{} },
		"old":      func(t *Token) { t.Made = time.Unix(-5, 0) },
		"century":  func(t *Token) { t.Expires = t.Made.AddDate(200, 0, 0) },
		"address":  func(t *Token) { t.Address[0] = netip.Prefix{} },
	} {
		tok := example()
		spoil(tok)
		if text, err := tok.Encode(); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestCheck(t *testing.T) {
	forever := example()
	forever.Expires = time.Time{}
	for _, test := range []struct {
		name          string
		token         *Token
		now           time.Time
		warning, fail string
	}{
		{"fresh", example(), made.Add(time.Hour), "", ""},
		{"the other clock is behind", example(), made.Add(-time.Hour), "", ""},
		{"a router that boots in 1970", example(), time.Unix(100, 0), "clock says 1970-01-01", ""},
		{"at the end", example(), made.Add(24 * time.Hour), "", ""},
		{"expired", example(), made.Add(25 * time.Hour), "", "expired at 2026-11-24"},
		{"a clock a year ahead", example(), made.AddDate(1, 0, 0), "", "by the clock of this host it is 2027-11-23"},
		{"never", forever, made.AddDate(50, 0, 0), "", ""},
	} {
		warning, err := test.token.Check(test.now)
		if !strings.Contains(warning, test.warning) || (test.warning == "") != (warning == "") {
			t.Errorf("%s: warning %q, want %q", test.name, warning, test.warning)
		}
		if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v, want %q", test.name, err, test.fail)
		}
	}
}

func TestPrintsNoSecret(t *testing.T) {
	for _, text := range []string{fmt.Sprint(example()), fmt.Sprintf("%v %+v %s", example(), *example(), example())} {
		if strings.Contains(text, "AQID") || strings.Contains(text, "1 2 3") {
			t.Errorf("%s shows the key", text)
		}
	}
}

func TestFields(t *testing.T) {
	tok := example()
	tok.Host, tok.Ways = "2001:db8::2", []Way{{"udp", 4725}, {"ip", 0}}
	want := Fields{
		Key: "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", Address: []string{"172.19.152.3/31", "fd19:152::3/127"}, Suite: "auto", Routing: "nat",
		Paths: []Remote{{"udp", "[2001:db8::2]:4725"}, {"ip", "2001:db8::2"}}, Expires: "2026-11-24T02:13:20Z",
	}
	if diff := cmp.Diff(want, tok.Fields()); diff != "" {
		t.Error(diff)
	}
	tok.Expires, tok.Address = time.Time{}, nil
	if f := tok.Fields(); f.Expires != "" || f.Address == nil {
		t.Errorf("%+v: want no expiry, and an empty list", f)
	}
}

// FuzzFields: a configuration made of what a token says has that in it and nothing else.
func FuzzFields(f *testing.F) {
	raw, _ := base64.RawURLEncoding.DecodeString(vector[len(prefix):])
	f.Add(raw[:len(raw)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		tok, err := Parse(sealed(body))
		if err != nil {
			return
		}
		said := tok.Fields()
		all := append([]string{said.Key, said.Suite, said.Routing}, said.Address...)
		for _, p := range said.Paths {
			all = append(all, p.Transport, p.Remote)
		}
		for _, value := range all {
			if value == "" || strings.ContainsAny(value, "#\n\r \"'") {
				t.Fatalf("%q is more than a value: %+v", value, said)
			}
		}
		if _, err := config.ParseKey(said.Key); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever is read is as Encode would write it: two texts are never one token.
func FuzzParse(f *testing.F) {
	f.Add(vector)
	f.Add("nc1.")
	f.Add("nc9.AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := Parse(text)
		if err != nil {
			return
		}
		again, err := tok.Encode()
		if err != nil {
			t.Fatalf("read and not written: %v", err)
		}
		if again != strings.Join(strings.Fields(text), "") {
			t.Errorf("%q reads as %q", text, again)
		}
	})
}

// FuzzBody goes behind the sum, where text never comes by chance.
func FuzzBody(f *testing.F) {
	raw, _ := base64.RawURLEncoding.DecodeString(vector[len(prefix):])
	f.Add(raw[:len(raw)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		text := sealed(body)
		tok, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := tok.Encode(); err != nil || again != text {
			t.Errorf("%q reads as %q, %v", text, again, err)
		}
	})
}
