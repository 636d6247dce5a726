package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"netcombiner/src/durable"
	"netcombiner/src/mono"
)

const (
	// saveEvery is how often the file is written at most: it may be on flash.
	saveEvery = 5 * time.Minute
	// saveTotals is how often it is written for the totals alone.
	saveTotals = 15 * time.Minute
	// saveIdle is how often it is written where little was counted: less than
	// littlePart of a limit, or littleTotal bytes.
	saveIdle    = time.Hour
	littlePart  = 1000
	littleTotal = 1e6
	// maxFile is more than a book ever has, in bytes.
	maxFile = 1 << 20
)

// contents is what the file holds.
type contents struct {
	Paths  map[string][]month[bytes] `json:"paths"` // quotas
	Totals []month[totals]           `json:"totals"`
}

// Open returns the book that is kept in file. It always returns one: the error
// says why it begins with nothing used, for a person to be warned; where there
// is no file yet, that is so only with a quota. Without a file ("") the counts
// last no longer than the process.
func Open(file string, now mono.Time, plans []Plan) (*Book, error) {
	b := &Book{file: file, meters: map[string]*allowance{}, saved: now}
	read, err := readFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		b.fresh = file != ""
		if len(plans) == 0 {
			err = nil
		}
	case err != nil:
		b.spoiled = true
	}
	if b.idle = read.Paths; b.idle == nil {
		b.idle = map[string][]month[bytes]{}
	}
	for _, p := range plans {
		b.plan(p)
	}
	b.totals = newMeter(1, totalsKept, read.Totals)
	return b, err
}

func readFile(name string) (c contents, err error) {
	text, err := readRegular(name)
	if errors.Is(err, os.ErrNotExist) {
		return c, missing(name)
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return contents{}, fmt.Errorf("%s is damaged (%w): every month counts from 0 now. The old file is kept as %s", name, err, spoiled(name))
	}
	return c, nil
}

// readRegular opens nothing else: a FIFO would make us wait for ever.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// spoiled is where a file that could not be read is kept: a year's totals may be
// but for a letter right.
func spoiled(name string) string { return name + ".bad" }

// missing is the error for a file that is not there yet.
type missing string

func (m missing) Error() string {
	return "there is no " + string(m) + " yet: every quota counts from 0 now"
}

func (missing) Unwrap() error { return os.ErrNotExist }

// check finds what no book of ours has.
func (c *contents) check() error {
	for path, months := range c.Paths {
		if len(months) == 0 {
			return fmt.Errorf("no months of %q", path)
		}
		if err := checkMonths(months, monthsKept); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	for _, m := range c.Totals {
		if len(m.Used.Paths) > maxNames+1 {
			return fmt.Errorf("%d paths in %s", len(m.Used.Paths), m.Begins)
		}
	}
	return checkMonths(c.Totals, totalsKept)
}

func checkMonths[T any](months []month[T], most int) error {
	if len(months) > most {
		return fmt.Errorf("%d months", len(months))
	}
	for _, m := range months {
		if _, err := time.Parse(dateForm, m.Begins); err != nil && m.Begins != "" {
			return fmt.Errorf("%q begins no month", m.Begins)
		}
	}
	return nil
}

// Due says that it is time to save; of a new file at once, for whoever set the
// tunnel up to hear of it where that cannot be.
func (b *Book) Due(now mono.Time) bool {
	if b.fresh {
		return true
	}
	since := now.Sub(b.saved)
	if since >= saveTotals && b.unsaved >= littleTotal || since >= saveIdle && b.unsaved > 0 {
		return true
	}
	for _, a := range b.meters {
		switch used := a.current().Used; {
		case used == a.saved || since < saveEvery:
		case since >= saveIdle, used < a.saved, uint64(used-a.saved) >= a.limit/littlePart:
			return true
		}
	}
	return false
}

// Text returns what is to be written to the file, and takes it for saved: one
// that cannot be written is not tried again before the next is Due.
func (b *Book) Text(now mono.Time) []byte {
	c := contents{Paths: map[string][]month[bytes]{}, Totals: b.totals.months}
	for path, months := range b.idle {
		c.Paths[path] = months
	}
	for path, a := range b.meters {
		c.Paths[path] = a.months
		a.saved = a.current().Used
	}
	b.unsaved, b.saved, b.fresh = 0, now, false
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		panic("quota: " + err.Error()) // strings and numbers only
	}
	return append(text, '\n')
}

// Write replaces the file by one with the text, which Text returned. Whatever
// happens, the file is afterwards the old one or the new one, whole. It may be
// called without the lock.
func (b *Book) Write(text []byte) error {
	if b.file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(b.file), 0o755); err != nil {
		return err
	}
	if b.spoiled {
		if err := os.Rename(b.file, spoiled(b.file)); err != nil {
			return err
		}
		b.spoiled = false
	}
	return durable.Write(b.file, text, 0o600)
}
