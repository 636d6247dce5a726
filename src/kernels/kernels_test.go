package kernels

import "testing"

func TestSpoilsUDP(t *testing.T) {
	for release, want := range map[string]bool{
		"4.19.0": false, "6.1.0-18-amd64": false, "6.6.44": false, "6.16.12": false, "6.17.0-41-generic": true, "6.18.44-fc": false,
		"7.0-rc1": true, "7.0.0": true, "7.0.0-22-generic": true, "7.0.2-6-pve": true, "7.1": true, "7.1.4": true,
		"7.1.5": false, "7.1.12-arch1": false, "7.2.0": false, "8": false, "": false, "none": false,
	} {
		if got := SpoilsUDP(release); got != want {
			t.Errorf("SpoilsUDP(%q) = %v", release, got)
		}
	}
	if Release() == "" {
		t.Error("this kernel has no release")
	}
}
