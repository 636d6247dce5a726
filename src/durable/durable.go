// Package durable replaces files so that, whatever happens meanwhile (kill -9, a
// full disk, a power cut), each is afterwards the old one or the new one, whole.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Write makes path hold text, and returns when that is on the disk. mode is as in
// os.OpenFile. The folder must be there, and only one process at a time may write
// the same path: it uses path.new, which nobody else has open when it is written,
// so a reader of an earlier one left behind never sees what comes.
func Write(path string, text []byte, mode os.FileMode) error {
	fresh := path + ".new"
	if err := Remove(fresh); err != nil {
		return err
	}
	err := create(fresh, text, mode)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(err, Remove(fresh))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync() // or a power cut could undo the renaming
}

// Remove removes a file that need not be there.
func Remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// create writes a file that was not there, and returns when it is on the disk.
func create(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
