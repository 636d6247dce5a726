// Command netcombiner-exporter offers what the tunnels of this host measure to
// Prometheus, all at one address: each scrape asks every control socket. The
// metrics are those of `netcombiner show --metrics`: package control describes
// them for both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const help = `Usage: netcombiner-exporter [--listen ADDRESS:PORT]

Answers Prometheus at /metrics for all tunnels of this host that run, through
their control sockets: so it runs as root, or as who started them.

  --listen ADDRESS:PORT  where; 127.0.0.1:9487 if left out, which is for this host alone
  --version              print the version

NETCOMBINER_RUN_DIR moves /var/run/netcombiner, where the control sockets are. A
tunnel that has Metrics in its configuration needs no exporter.

Example: netcombiner-exporter --listen 192.168.1.1:9487
`

// version is set by the build.
var version = "unknown"

// Exit statuses, as netcombiner's.
const (
	exitDone   = 0
	exitFailed = 1
	exitWrong  = 2
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer release()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	listen := fs.String("listen", "127.0.0.1:9487", "")
	showVersion := fs.Bool("version", false, "")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, help)
		return exitDone
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("too much: %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(errs, "netcombiner-exporter: %v\nSee \"netcombiner-exporter --help\".\n", err)
		return exitWrong
	}
	if *showVersion {
		fmt.Fprintln(out, "netcombiner-exporter", version)
		return exitDone
	}
	if err := serve(ctx, *listen, out); err != nil {
		fmt.Fprintf(errs, "netcombiner-exporter: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// serve answers until ctx ends.
func serve(ctx context.Context, address string, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w: name another place by --listen", err)
	}
	server := &http.Server{Handler: handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(out, "http://%s/metrics\n", l.Addr())
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// maxScrapes is how many ask at once; others are told to come again.
const maxScrapes = 4

func handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "The metrics are at /metrics.\n")
	})
	return mux
}
