package tundevice

import (
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"nc0", "home-2", "a", "nc0.1_x", "abcdefghijklmno"} {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{"", "0nc", ".", "..", "nc 0", "nc/0", "nc%d", "nc\x00", "nc;0", "é", "abcdefghijklmnop"} {
		if err := CheckName(name); err == nil {
			t.Errorf("CheckName(%q) = nil, want an error", name)
		}
	}
}
