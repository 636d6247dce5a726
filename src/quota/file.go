package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"netcombiner/src/mono"
)

const (
	// saveEvery is how often the file is written at most: it may be on flash.
	saveEvery = 5 * time.Minute
	// saveIdle is how often it is written where little was counted: less than
	// littlePart of the limit.
	saveIdle   = time.Hour
	littlePart = 1000
	// maxFile is more than a book ever has, in bytes.
	maxFile = 1 << 20
)

// contents is what the file holds.
type contents struct {
	Paths map[string][]month `json:"paths"`
}

// Open returns the book that is kept in file. It always returns one: the error
// says why it begins with nothing used, for a person to be warned. Without a
// file ("") the counts last no longer than the process.
func Open(file string, now mono.Time, plans []Plan) (*Book, error) {
	b := &Book{file: file, meters: map[string]*meter{}, saved: now}
	read, err := readFile(file)
	b.others = read.Paths
	for _, p := range plans {
		m := &meter{plan: p, months: b.others[p.Path]}
		if len(m.months) == 0 {
			m.months = []month{{}}
		}
		m.saved = m.current().Used
		b.meters[p.Path] = m
		delete(b.others, p.Path)
	}
	return b, err
}

func readFile(name string) (c contents, err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("there is no %s yet: every quota counts from 0 now", name)
	}
	if err != nil {
		return c, fmt.Errorf("%w: every quota counts from 0 now", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return contents{}, fmt.Errorf("%s is damaged (%w): every quota counts from 0 now", name, err)
	}
	return c, nil
}

// check finds what no book of ours has.
func (c *contents) check() error {
	for path, months := range c.Paths {
		if len(months) == 0 || len(months) > monthsKept {
			return fmt.Errorf("%d months of %q", len(months), path)
		}
		for _, m := range months {
			if _, err := time.Parse(dateForm, m.Begins); err != nil && m.Begins != "" {
				return fmt.Errorf("%q begins no month", m.Begins)
			}
		}
	}
	return nil
}

// Due says that it is time to save.
func (b *Book) Due(now mono.Time) bool {
	for _, m := range b.meters {
		switch used := m.current().Used; {
		case used == m.saved || now.Sub(b.saved) < saveEvery:
		case now.Sub(b.saved) >= saveIdle, used < m.saved, used-m.saved >= m.plan.Limit/littlePart:
			return true
		}
	}
	return false
}

// Text returns what is to be written to the file, and takes it for saved: one
// that cannot be written is not tried again before the next is Due.
func (b *Book) Text(now mono.Time) []byte {
	c := contents{Paths: map[string][]month{}}
	for path, months := range b.others {
		c.Paths[path] = months
	}
	for path, m := range b.meters {
		c.Paths[path] = m.months
		m.saved = m.current().Used
	}
	b.saved = now
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
	fresh := b.file + ".new"
	err := writeFile(fresh, text)
	if err == nil {
		err = os.Rename(fresh, b.file)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(fresh)))
	}
	dir, err := os.Open(filepath.Dir(b.file))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync() // or a power cut could undo the renaming
}

// writeFile writes a file, and returns when it is on the disk.
func writeFile(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
