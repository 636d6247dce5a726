package routing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"netcombiner/src/durable"
)

// journal is what one tunnel has changed, or was about to change. It is on
// disk before the first change is made.
type journal struct {
	Interface string `json:"interface"`
	Boot      string `json:"boot"` // another boot's changes are gone by themselves
	Slot      int    `json:"slot"`
	Steps     []Step `json:"steps"`
}

const journalSuffix = ".routing"

func journalPath(dir, iface string) string { return filepath.Join(dir, iface+journalSuffix) }

// readJournal returns nil when there is none, or one of another boot.
func readJournal(path, boot string) (*journal, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the routing journal: %w", err)
	}
	var j journal
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, fmt.Errorf("the routing journal %s is damaged: undo %s by hand, then remove it: %w", path, undoByHand, err)
	}
	if j.Boot != boot {
		return nil, nil
	}
	return &j, nil
}

// readJournals returns those of all tunnels but one.
func readJournals(dir, except, boot string) ([]*journal, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+journalSuffix))
	if err != nil {
		return nil, err
	}
	var all []*journal
	for _, path := range paths {
		if strings.TrimSuffix(filepath.Base(path), journalSuffix) == except {
			continue
		}
		// One that cannot be read is its own tunnel's trouble.
		if j, err := readJournal(path, boot); err == nil && j != nil {
			all = append(all, j)
		}
	}
	return all, nil
}

// write replaces the journal on disk: it is the old or the new one, never half.
func (j *journal) write(path string) error {
	text, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		return err
	}
	if err := durable.Write(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the routing journal: %w", err)
	}
	return nil
}

// lockDir waits until no other process has the directory locked.
func lockDir(dir string) (func(), error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("the directory of the routing journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// freeSlot returns the lowest slot that no other tunnel has.
func freeSlot(others []*journal) int {
	slot := 0
	for taken := true; taken; {
		taken = false
		for _, j := range others {
			if j.Slot == slot {
				slot, taken = slot+1, true
			}
		}
	}
	return slot
}

// index finds steps by their keys.
type index map[string]Step

func indexOf(steps []Step) index {
	x := make(index, len(steps))
	for _, s := range steps {
		x[s.key()] = s
	}
	return x
}

func (x index) has(s Step) bool {
	_, ok := x[s.key()]
	return ok
}

// stepsOf returns the steps of all journals. Of several with the same key it
// does not matter which: what they remember is the same.
func stepsOf(journals []*journal) index {
	var all []Step
	for _, j := range journals {
		all = append(all, j.Steps...)
	}
	return indexOf(all)
}
