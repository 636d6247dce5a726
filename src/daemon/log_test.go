package daemon

import (
	"bytes"
	"testing"

	"netcombiner/src/config"
)

// procd tells the log that what comes by stderr is an error: only that goes there,
// and says itself how grave it is.
func TestProcdLog(t *testing.T) {
	for _, test := range []struct{ form, out, err string }{
		{"text", "nc0: level=INFO msg=\"path up\" path=dsl\n", "nc0: level=WARN msg=\"path failed\" path=dsl\n"},
		{"json", `{"level":"INFO","msg":"path up","tunnel":"nc0","path":"dsl"}` + "\n", `{"level":"WARN","msg":"path failed","tunnel":"nc0","path":"dsl"}` + "\n"},
	} {
		var out, err bytes.Buffer
		log := procdLog("nc0", &config.Config{Interface: config.Interface{Log: test.form}}, &out, &err)
		log.Info("path up", "path", "dsl")
		log.Warn("path failed", "path", "dsl")
		if out.String() != test.out || err.String() != test.err {
			t.Errorf("%s: %q and %q", test.form, out.String(), err.String())
		}
	}
}
