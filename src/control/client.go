package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRunning says that no daemon runs the interface.
var ErrNotRunning = errors.New("it does not run")

// ErrDied says that the daemon ended before it answered.
var ErrDied = errors.New("the daemon ended before it answered")

// How long a client waits for the daemon.
const (
	statusTimeout = 5 * time.Second
	downTimeout   = 30 * time.Second
	changeTimeout = 30 * time.Second // a listener, or a name, may take some
)

// Client is a connection to a daemon's control socket. It is for one goroutine.
type Client struct {
	conn  net.Conn
	lines *bufio.Scanner
}

// Dial connects to the daemon that runs iface.
func Dial(iface string) (*Client, error) {
	path := SocketPath(iface)
	conn, err := net.DialTimeout("unix", path, statusTimeout)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrNotRunning
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("no permission for %s: run it as root", path)
	case err != nil:
		return nil, err
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxAnswer)
	return &Client{conn, lines}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Status asks for the tunnel's status.
func (c *Client) Status() (*Status, error) {
	raw, err := c.StatusJSON()
	if err != nil {
		return nil, err
	}
	s := new(Status)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("the daemon's answer: %w", err)
	}
	return s, nil
}

// StatusJSON asks for the tunnel's status and returns the object as the daemon
// sent it, in one line.
func (c *Client) StatusJSON() (json.RawMessage, error) {
	var r struct {
		Status json.RawMessage `json:"status"`
	}
	if err := c.ask("status", statusTimeout, &r); err != nil {
		return nil, err
	}
	if len(r.Status) == 0 {
		return nil, errors.New("the daemon's answer holds no status")
	}
	return r.Status, nil
}

// Down stops the tunnel and waits until everything is undone.
func (c *Client) Down() error { return c.ask("down", downTimeout, nil) }

// Change asks for "set", "add", "remove" or "reload". An error that is ErrInvalid
// has a line for everything that is wrong with the change, or the file.
func (c *Client) Change(command string, change Change) (notes []string, err error) {
	var r struct {
		Notes []string `json:"notes"`
	}
	err = c.askFor(Request{command, change}, changeTimeout, &r)
	return r.Notes, err
}

// ask sends a command and decodes the whole answer into dst, unless it is nil.
func (c *Client) ask(command string, timeout time.Duration, dst any) error {
	return c.askFor(Request{Command: command}, timeout, dst)
}

func (c *Client) askFor(q Request, timeout time.Duration, dst any) error {
	request, err := json.Marshal(q)
	if err != nil {
		return err
	}
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	// A daemon with too many clients says so and hangs up without listening:
	// a failed write is no reason not to read.
	_, unsent := c.conn.Write(append(request, '\n'))
	if !c.lines.Scan() {
		switch err := c.lines.Err(); {
		case errors.Is(unsent, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return ErrDied
		case unsent != nil:
			return fmt.Errorf("asking the daemon: %w", unsent)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("the daemon did not answer within %v", timeout)
		case err != nil:
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		return ErrDied
	}
	var r struct {
		OK      bool   `json:"ok"`
		Error   string `json:"error"`
		Invalid bool   `json:"invalid"`
	}
	if err := json.Unmarshal(c.lines.Bytes(), &r); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	if !r.OK && r.Invalid {
		return Invalid(errors.New(r.Error))
	}
	if !r.OK {
		return errors.New(r.Error)
	}
	if dst == nil {
		return nil
	}
	return json.Unmarshal(c.lines.Bytes(), dst)
}
