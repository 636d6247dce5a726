package tundevice

import (
	"fmt"
)

// CheckName reports why name cannot be the name of an interface. It is
// stricter than the kernel: letters, digits, '.', '_' and '-', because the
// name also becomes part of file names and of firewall tables.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("an interface needs a name, for example nc0")
	}
	if len(name) > maxName {
		return fmt.Errorf("interface name %q is too long: at most %d bytes", name, maxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		other := c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !letter && (i == 0 || !other) {
			return fmt.Errorf("interface name %q is not allowed: a letter, then letters, digits, '.', '_' or '-'", name)
		}
	}
	return nil
}
