package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"netcombiner/src/config"
	"netcombiner/src/daemon"
	"netcombiner/src/setup"
	"netcombiner/src/token"
)

const initHelp = `netcombiner init remote [IFACE] [options], on the VPS: writes
/etc/netcombiner/IFACE.conf (nc0 without IFACE), starts the tunnel, and prints a
token, which is all that the other end needs.

  --address HOST  how homes reach this host, where it does not know: a NAT
  --port N        UDP port; 4725, or the next free one
  --tcp-port N    TCP port, for links that block UDP; 443 if free
  --no-tcp        none
  --routing KIND  nat (default), portal, none
  --suite SUITE   as in the configuration
  --expires TIME  how long the token may be used: 24h (default), 7d; 0: for ever
  --qr            print it as a QR code also where no terminal is

netcombiner init local TOKEN [IFACE] [options], at home: the same there, then waits
for each link and says how it fares. TOKEN may be - for standard input, or a
file; as an argument other users of this host may see it while this runs.

  --wan DEV       an Internet link; once for each. None: those there are
  --name NAME     of the path over the --wan before it
  --client DEV    with the VPS's --routing portal: where the client is
  --json          change nothing, print what the token holds: the key, too

Both: --yes agrees to all questions (open the firewall, use all links); --force
replaces a configuration that init did not write, or that was edited since,
and keeps it as a .bak. Run again, they change only what the options ask for.
A token is for one home, and a secret: it holds the key, which stays good when the
token has expired. For another key remove the configuration first.

Example: netcombiner init local - --wan eth1 --wan wwan0 < token
`

func (a *app) init(args []string) error {
	if len(args) == 0 {
		return usageError("init: remote (on the VPS) or local (at home)?")
	}
	daemon.ProtectSecrets()
	var err error
	switch args[0] {
	case "remote":
		err = a.initRemote(args[1:])
	case "local":
		err = a.initLocal(args[1:])
	case "-h", "-help", "--help":
		return flag.ErrHelp
	default:
		return usageError(fmt.Sprintf("init: %.20q is neither remote nor local", args[0]))
	}
	if _, ok := errors.AsType[setup.Wrong](err); ok {
		return configError{err}
	}
	return err
}

// initOptions are those of both ends.
type initOptions struct{ yes, force *bool }

func initFlags(end string) (*flag.FlagSet, initOptions) {
	fs := flag.NewFlagSet("init "+end, flag.ContinueOnError)
	return fs, initOptions{fs.Bool("yes", false, ""), fs.Bool("force", false, "")}
}

func (a *app) initRemote(args []string) error {
	fs, both := initFlags("remote")
	o := setup.RemoteOptions{Expires: 24 * time.Hour}
	fs.StringVar(&o.Address, "address", "", "")
	fs.Func("port", "", func(v string) (err error) { o.Port, err = config.ParsePort(v); return })
	fs.Func("tcp-port", "", func(v string) (err error) { o.TCPPort, err = config.ParsePort(v); return })
	fs.BoolVar(&o.NoTCP, "no-tcp", false, "")
	fs.Func("routing", "", func(v string) error {
		return config.OneOf(&o.Routing, v, "not a kind of routing", config.RoutingNAT, config.RoutingPortal, config.RoutingNone)
	})
	fs.Func("suite", "", func(v string) error { return config.OneOf(&o.Suite, v, "not a suite", config.Suites...) })
	fs.Func("expires", "", func(v string) (err error) { o.Expires, err = parseLifetime(v); return })
	asQR := fs.Bool("qr", false, "")
	rest, err := parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if o.NoTCP && o.TCPPort != 0 {
		return usageError("init remote: --no-tcp and --tcp-port contradict each other")
	}
	if o.Interface, err = interfaceOf(rest); err != nil {
		return err
	}
	o.Yes, o.Force = *both.yes, *both.force
	text, err := a.setup(a, a.err).Remote(o)
	if err != nil {
		return about(o.Interface, err)
	}
	if *asQR || isTerminal(a.out) {
		code, err := setup.QR(text)
		if err != nil {
			return err
		}
		fmt.Fprint(a.out, code)
	}
	fmt.Fprintf(a.err, "at home: netcombiner init local TOKEN --wan DEV, with a --wan for each Internet link there. The token holds the key, so is a secret%s:\n", until(o.Expires))
	_, err = fmt.Fprintln(a.out, text)
	return err
}

func until(expires time.Duration) string {
	if expires == 0 {
		return ""
	}
	return fmt.Sprintf(", and may be used for %s", strings.TrimSuffix(strings.TrimSuffix(expires.String(), "0s"), "0m"))
}

func (a *app) initLocal(args []string) error {
	fs, both := initFlags("local")
	var o setup.LocalOptions
	fs.Func("wan", "", func(device string) error {
		o.WANs = append(o.WANs, setup.WAN{Device: device})
		return nil
	})
	fs.Func("name", "", func(name string) error {
		if len(o.WANs) == 0 || o.WANs[len(o.WANs)-1].Name != "" {
			return errors.New("one after a --wan, whose path it names")
		}
		o.WANs[len(o.WANs)-1].Name = name
		return nil
	})
	fs.StringVar(&o.Client, "client", "", "")
	asJSON := fs.Bool("json", false, "")
	rest, err := parse(fs, args, 0, 2)
	switch {
	case err != nil:
		return err
	case len(rest) == 0:
		return usageError("init local: which token? netcombiner init remote prints it on the VPS")
	case *asJSON && (len(rest) > 1 || fs.NFlag() > 1):
		return usageError("init local: --json prints the token and changes nothing: give it nothing else")
	}
	if o.Interface, err = interfaceOf(rest[1:]); err != nil {
		return err
	}
	if o.Token, err = a.readToken(rest[0]); err != nil {
		return configError{fmt.Errorf("init local: %w", err)}
	}
	if *asJSON {
		return a.printToken(o.Token)
	}
	o.Yes, o.Force = *both.yes, *both.force
	return about(o.Interface, a.setup(a, a.out).Local(o))
}

func interfaceOf(rest []string) (string, error) {
	iface := "nc0"
	if len(rest) > 0 {
		iface = rest[0]
	}
	if _, taken := find(iface); taken {
		return "", usageError(iface + ": the name of a command, so of no interface")
	}
	return iface, checkInterface(iface)
}

// readToken takes the token itself, - for standard input, or the name of a file. What is
// none of them is not quoted: it may be the better part of a token.
func (a *app) readToken(arg string) (*token.Token, error) {
	from := io.Reader(a.in)
	switch {
	case token.Looks(arg):
		from = strings.NewReader(arg)
	case arg == "-" && isTerminal(a.in):
		fmt.Fprint(a.err, "The token: ")
		line, err := bufio.NewReader(io.LimitReader(a.in, token.MaxSize+1)).ReadString('\n')
		if err != nil && line == "" {
			return nil, err
		}
		from = strings.NewReader(line)
	case arg != "-":
		info, err := os.Stat(arg) // before it is opened: a FIFO would make us wait for ever
		if err != nil {
			return nil, errors.New("neither a token, which begins with nc1., nor a file: copied whole?")
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", arg)
		}
		f, err := os.Open(arg)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, token.MaxSize+1))
	if err != nil {
		return nil, err
	}
	return token.Parse(string(text))
}

// printToken is for a program that writes its own configuration (LuCI). It refuses what
// Local refuses.
func (a *app) printToken(t *token.Token) error {
	warning, err := t.Check(a.setup(a, a.err).Now())
	if err != nil {
		return configError{fmt.Errorf("init local: %w", err)}
	}
	if warning != "" {
		fmt.Fprintf(a.err, "%s: it is taken\n", warning)
	}
	return a.printJSON(t.Fields())
}

// parseLifetime is time.ParseDuration with days.
func parseLifetime(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if days, ok := strings.CutSuffix(v, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 || d > 0 && d < time.Minute || d > 3650*24*time.Hour {
		return 0, errors.New("allowed: 1m to 3650d, as in 24h or 7d; 0: for ever")
	}
	return d, nil
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
