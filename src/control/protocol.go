package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine is the longest request, in bytes, its newline included.
const MaxLine = 64 << 10

// maxAnswer is the longest answer that a client takes, in bytes.
const maxAnswer = 1 << 20

// Request is one line from a client.
type Request struct {
	Command string `json:"command"`
}

// Response is one line from the daemon.
type Response struct {
	OK     bool    `json:"ok"`
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"`
}

// Handler is the daemon as its clients see it. Its methods may be called from
// several goroutines at once.
type Handler interface {
	Status() Status
	// Down stops the tunnel and returns once everything is undone.
	Down() error
}

// answer turns a request line into an answer line.
func answer(line []byte, h Handler) []byte {
	r, err := handle(line, h)
	if err != nil {
		r = Response{Error: err.Error()}
	}
	r.OK = err == nil
	text, err := json.Marshal(r)
	if err != nil { // a status with a NaN, say: a fault of ours, not a reason to be silent
		text, _ = json.Marshal(Response{Error: err.Error()})
	}
	return append(text, '\n')
}

func handle(line []byte, h Handler) (Response, error) {
	var q Request
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return Response{}, fmt.Errorf("not a request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Response{}, errors.New("not a request: more than one object on the line")
	}
	switch q.Command {
	case "status":
		s := h.Status()
		return Response{Status: &s}, nil
	case "down":
		return Response{}, h.Down()
	}
	return Response{}, fmt.Errorf("unknown command %.32q; allowed: status, down", q.Command)
}
