package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxLine is the longest request, in bytes, its newline included.
const MaxLine = 64 << 10

// maxAnswer is the longest answer that a client takes, in bytes.
const maxAnswer = 1 << 20

// Request is one line from a client.
type Request struct {
	Command string `json:"command"`
	Change         // of "set", "add", "remove" and "reload"
}

// Change is what is to be changed of a tunnel that runs.
type Change struct {
	Path     string    `json:"path,omitempty"`   // its name…
	Bypass   string    `json:"bypass,omitempty"` // …or a prefix that goes beside the tunnel; neither, with "set": the interface
	Settings []Setting `json:"settings,omitempty"`
}

// Setting is a key and its value, as on a line of the configuration.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// ErrInvalid is in the chain of an error that says what is wrong with a change,
// so that nothing was changed.
var ErrInvalid = errors.New("invalid")

// Invalid marks an error as ErrInvalid. It reads as err does.
func Invalid(err error) error { return invalid{err} }

type invalid struct{ error }

func (e invalid) Unwrap() []error { return []error{e.error, ErrInvalid} }

// restart ends a note on what only a restart can change.
const restart = "; restart to apply"

// RestartNote is the note on a key whose changed value only a restart takes over.
func RestartNote(key string) string { return key + " differs from what runs" + restart }

// NeedsRestart says whether a RestartNote is among the notes.
func NeedsRestart(notes []string) bool {
	return slices.ContainsFunc(notes, func(n string) bool { return strings.HasSuffix(n, restart) })
}

// Response is one line from the daemon.
type Response struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// Invalid says that Error is what is wrong with the request, one line each.
	Invalid bool `json:"invalid,omitempty"`
	// Notes are what a change could not do, or is to be known: one line each.
	Notes  []string `json:"notes,omitempty"`
	Status *Status  `json:"status,omitempty"`
}

// Handler is the daemon as its clients see it. Its methods may be called from
// several goroutines at once.
type Handler interface {
	Status() Status
	// Down stops the tunnel and returns once everything is undone.
	Down() error
	// Change does "set", "add", "remove" or "reload" while the tunnel runs, and
	// returns notes for the person who asked. With an error nothing was changed;
	// where the change is what is wrong, it is ErrInvalid.
	Change(command string, c Change) (notes []string, err error)
}

// answer turns a request line into an answer line.
func answer(line []byte, h Handler) []byte {
	r, err := handle(line, h)
	if err != nil {
		r = Response{Error: err.Error()}
	}
	r.OK, r.Invalid = err == nil, errors.Is(err, ErrInvalid)
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
	if err := q.check(); err != nil {
		return Response{}, err
	}
	switch q.Command {
	case "set", "add", "remove", "reload":
		notes, err := h.Change(q.Command, q.Change)
		return Response{Notes: notes}, err
	case "status":
		s := h.Status()
		return Response{Status: &s}, nil
	case "down":
		return Response{}, h.Down()
	}
	return Response{}, fmt.Errorf("unknown command %.32q; allowed: status, down, set, add, remove, reload", q.Command)
}

// check refuses what a command does not know.
func (q *Request) check() error {
	changes := q.Command == "set" || q.Command == "add" || q.Command == "remove"
	switch {
	case q.Path != "" && !changes:
		return fmt.Errorf("%.32q takes no path", q.Command)
	case q.Bypass != "" && (!changes || q.Command == "set" || q.Path != ""):
		return fmt.Errorf("%.32q takes no bypass here", q.Command)
	case len(q.Settings) > 0 && (!changes || q.Command == "remove"):
		return fmt.Errorf("%.32q takes no settings", q.Command)
	case len(q.Settings) > maxSettings:
		return fmt.Errorf("more than %d settings", maxSettings)
	}
	return nil
}

// maxSettings is more than there are keys.
const maxSettings = 64
