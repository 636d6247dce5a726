// Package scrape answers Prometheus, and nobody else: GET /metrics in as much of
// HTTP/1.0 (RFC 1945) as that takes, one request a connection. It is here because
// net/http would double the daemon.
//
// All that a client can take is bounded: how many are served at once, how long
// each may take, and how long a request may be.
package scrape

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"netcombiner/src/clients"
)

// What clients may take.
const (
	maxConns   = 8
	maxRequest = 8 << 10 // bytes, up to the empty line
	timeout    = 10 * time.Second
)

// Server answers on one listener.
type Server struct{ *clients.Server }

// Serve answers on l, which it owns from now on, with what metrics returns: text
// of Prometheus' format 0.0.4. metrics is called from several goroutines.
func Serve(l net.Listener, metrics func() string) *Server {
	return &Server{clients.Serve(l, clients.Kind{
		Most:  maxConns,
		Serve: func(_ *clients.Server, c net.Conn) { serveOne(c, metrics) },
		End:   func(c net.Conn) { c.Close() },
	})}
}

func serveOne(c net.Conn, metrics func() string) {
	_ = c.SetDeadline(time.Now().Add(timeout))
	if request, err := read(c); err == nil {
		_, _ = c.Write(answer(request, metrics))
	}
}

// read takes a request up to the empty line that ends it, or as much as is
// allowed: then it is none.
func read(c net.Conn) ([]byte, error) {
	request, n := make([]byte, maxRequest), 0
	for n < len(request) && !ended(request[:n]) {
		more, err := c.Read(request[n:])
		if err != nil {
			return nil, err
		}
		n += more
	}
	return request[:n], nil
}

func ended(request []byte) bool {
	return bytes.Contains(request, []byte("\r\n\r\n")) || bytes.Contains(request, []byte("\n\n"))
}

// answer is the whole answer to a request.
func answer(request []byte, metrics func() string) []byte {
	method, status := judge(request)
	kind, body := "text/plain; charset=utf-8", status+"\n"
	switch status {
	case found:
		kind, body = "text/plain; version=0.0.4; charset=utf-8", metrics()
	case elsewhere:
		body = "The metrics are at /metrics.\n"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n", status, kind, len(body))
	if status == notAllowed {
		b.WriteString("Allow: GET, HEAD\r\n")
	}
	b.WriteString("\r\n")
	if method != "HEAD" {
		b.WriteString(body)
	}
	return b.Bytes()
}

// How a request is answered.
const (
	found      = "200 OK"
	malformed  = "400 Bad Request"
	elsewhere  = "404 Not Found"
	notAllowed = "405 Method Not Allowed"
	tooLong    = "431 Request Header Fields Too Large"
)

// judge reads the request's first line; nothing that follows matters here.
func judge(request []byte) (method, status string) {
	if !ended(request) {
		return "", tooLong
	}
	line, _, _ := strings.Cut(string(request), "\n")
	words := strings.Split(strings.TrimSuffix(line, "\r"), " ")
	if len(words) != 3 || words[0] == "" || !strings.HasPrefix(words[2], "HTTP/1.") {
		return "", malformed
	}
	path, _, _ := strings.Cut(words[1], "?")
	switch method = words[0]; {
	case method != "GET" && method != "HEAD":
		return method, notAllowed
	case path != "/metrics":
		return method, elsewhere
	}
	return method, found
}
