package daemon

import (
	"errors"
	"fmt"
	"os"

	"netcombiner/src/control"
)

// CleanUp undoes what a killed daemon of iface left, as the next start would.
// undone says what that was, a command each. With nothing left the error is
// control.ErrNotRunning.
func CleanUp(iface string, s System) (undone []string, err error) {
	if _, err := os.Stat(control.Dir); errors.Is(err, os.ErrNotExist) {
		return nil, control.ErrNotRunning // and the lock would make the folder
	}
	files := control.Leftovers(iface) // now: the lock makes a file
	lock, err := control.AcquireLock(iface)
	if errors.Is(err, control.ErrRuns) {
		return nil, errors.New("it is just starting or stopping: try again in a moment")
	}
	if err != nil {
		return nil, err
	}
	undone, err = s.CleanUp(iface)
	for _, file := range files {
		undone = append(undone, "rm "+file)
		if file == control.SocketPath(iface) && err == nil {
			err = os.Remove(file)
		}
	}
	err = errors.Join(err, lock.Release()) // and with it the lock's file
	switch {
	case err != nil:
		return nil, fmt.Errorf("cleaning up after the last run: %w", err)
	case len(undone) == 0:
		return nil, control.ErrNotRunning
	}
	return undone, nil
}
