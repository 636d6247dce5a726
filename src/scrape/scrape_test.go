package scrape

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = "# TYPE x gauge\nx 1\n"

func serve(t *testing.T) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, func() string { return text })
	t.Cleanup(func() { s.Close() })
	return s, s.Addr().String()
}

// Go's own client is Prometheus'.
func TestPrometheusIsAnswered(t *testing.T) {
	_, addr := serve(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/metrics": 200, "/metrics?x=1": 200, "/": 404, "/metrics/": 404} {
		for _, method := range []string{"GET", "HEAD"} {
			q, _ := http.NewRequest(method, "http://"+addr+path, nil)
			r, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil || r.StatusCode != want || method == "GET" && want == 200 && string(body) != text || method == "HEAD" && len(body) > 0 {
				t.Errorf("%s %s: %s, %q, %v", method, path, r.Status, body, err)
			}
			if kind := r.Header.Get("Content-Type"); want == 200 && kind != "text/plain; version=0.0.4; charset=utf-8" {
				t.Errorf("%s %s is %q", method, path, kind)
			}
		}
	}
	r, err := client.Post("http://"+addr+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s", r.Status)
	}
}

// Nobody keeps the others out for long, and nobody fills the memory.
func TestClientsAreBounded(t *testing.T) {
	_, addr := serve(t)
	var silent []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\n") // and no end
		silent = append(silent, c)
	}
	refused, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	fmt.Fprint(refused, "GET /metrics HTTP/1.1\r\n\r\n")
	if b, _ := io.ReadAll(refused); len(b) > 0 {
		t.Errorf("client %d got %q", maxConns+1, b)
	}
	silent[0].Close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\n\r\n")
		b, _ := io.ReadAll(c)
		c.Close()
		if strings.HasSuffix(string(b), text) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody was let in again")
		}
	}
	long := silent[1]
	_, _ = long.Write(bytes.Repeat([]byte("x"), maxRequest))
	if line, _ := bufio.NewReader(long).ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.0 431") {
		t.Errorf("a long request: %q", line)
	}
}

// In virtual time: a client that says nothing is hung up on.
func TestSilentClientsAreHungUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		began := time.Now()
		go func() {
			serveOne(theirs, func() string { return text })
			theirs.Close()
		}()
		fmt.Fprint(ours, "GET /metrics HTTP/1.0\r\n")
		if b, err := io.ReadAll(ours); len(b) > 0 || err != nil || time.Since(began) != timeout {
			t.Errorf("%q, %v after %v", b, err, time.Since(began))
		}
	})
}

func TestCloseHangsUp(t *testing.T) {
	s, addr := serve(t)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET") // and no end
	began := time.Now()
	s.Close()
	_ = c.SetDeadline(began.Add(timeout / 2))
	if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > timeout/2 {
		t.Errorf("hung up on after %v: %q, %v", time.Since(began), b, err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("it still listens")
	}
}

// FuzzAnswer: whatever is asked, the answer is one of HTTP that Go's client
// reads, and the metrics go to nobody who did not GET /metrics.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD /metrics HTTP/1.0\n\n", "GET  /metrics HTTP/1.1\r\n\r\n",
		"GET /metrics\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\nx", "\r\n\r\n", "GET /metrics HTTP/1.1", "GET /\xff HTTP/1.9\n\n", "get /metrics HTTP/1.0\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		got := answer(request, func() string { return text })
		method, _, _ := strings.Cut(string(request), " ")
		if method != "HEAD" {
			method = "GET"
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if asked := bytes.HasPrefix(request, []byte("GET /metrics")); string(body) == text && !asked {
			t.Fatalf("%q got the metrics", request)
		}
		if n := r.Header.Get("Content-Length"); method == "GET" && n != strconv.Itoa(len(body)) {
			t.Fatalf("%s bytes are %d", n, len(body))
		}
	})
}
