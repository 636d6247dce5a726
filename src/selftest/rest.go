package selftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"netcombiner/src/config"
	"netcombiner/src/udpsocket"
)

// folders looks whether they can be written to, or be made.
func (r *run) folders() {
	quotas := r.tunnel != nil && slices.ContainsFunc(r.tunnel.Config.Paths, func(p config.Path) bool { return p.Quota > 0 })
	for i, f := range [...]struct {
		needed bool
		what   string
		moved  string
	}{
		{true, "run folder (sockets)", ", or set NETCOMBINER_RUN_DIR"},
		{quotas, "state folder (quotas)", ", or set NETCOMBINER_STATE_DIR"},
		{false, "config folder (init)", ""},
	} {
		dir := r.Folders[i]
		err := r.Writable(dir)
		for errors.Is(err, os.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			err = r.Writable(dir)
		}
		r.judge(f.what, f.needed, err, r.Folders[i]+" can be written to", "make "+r.Folders[i]+" writable, by root"+f.moved)
	}
}

// buffers compares what sockets get with what they ask for.
func (r *run) buffers() {
	got, err := r.Buffers(r.ctx)
	want := udpsocket.WantedBuffers
	found := fmt.Sprintf("%d of %d KiB to receive, %d of %d to send", got.Receive>>10, want.Receive>>10, got.Send>>10, want.Send>>10)
	if err == nil && (got.Receive < want.Receive || got.Send < want.Send) {
		r.say("socket buffers", false, Missing, found+": a fast link loses packets in bursts", udpsocket.MoreBuffers)
		return
	}
	r.judge("socket buffers", true, err, found, "")
}
