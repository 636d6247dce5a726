package tundevice

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Free says why no TUN could have the name; nil: one could. It makes none. What a
// killed process of ours has left is not in the way.
func Free(name string) error {
	f, err := look(name)
	switch {
	case errors.Is(err, unix.ENXIO):
		return CheckName(name)
	case err != nil:
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return f.judge(name)
}
