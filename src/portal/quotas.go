package portal

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/mono"
	"netcombiner/src/quota"
	"netcombiner/src/wire"
)

const (
	// quotaEvery is how often what the paths carried is counted where one has a
	// quota. So much later at most a path learns that it is used up.
	quotaEvery = time.Second
	// totalsEvery is the same where none has: an idle tunnel sleeps.
	totalsEvery = time.Minute
)

// quotas counts what the tunnel and its paths carry, by months, and holds the
// local portal's paths to their monthly quotas; the remote learns what follows
// from a Join.
//
// A path whose quota is used up gets the reserve metric: from then on it carries
// what keeps it alive, and data only while every other path has failed. To lose
// the Internet for what is left of the month would be worse than the bill.
type quotas struct {
	book      *quota.Book
	every     time.Duration
	hurry     chan struct{} // buffered: every changed
	tunnel    quota.Traffic // what the book has of the tunnel's counters
	complaint string        // last logged
}

// openQuotas reads the book. Before the paths open.
func (p *Portal) openQuotas() {
	plans, every := plansOf(p.Config)
	now := p.clock.Now()
	book, err := quota.Open(p.QuotaFile, now, plans)
	if err != nil && p.QuotaFile != "" {
		p.Log.Warn("quotas and totals: " + err.Error())
	}
	book.Observe(now, p.Wall())
	p.mu.Lock()
	p.quotas = &quotas{book: book, every: every, hurry: make(chan struct{}, 1)}
	p.mu.Unlock()
}

// plansOf is what a configuration says of quotas, and how often that asks for a count.
func plansOf(c *config.Config) (plans []quota.Plan, every time.Duration) {
	every = totalsEvery
	for _, c := range c.Paths {
		if c.Quota > 0 {
			plans = append(plans, quota.Plan{Path: c.Name, Limit: c.Quota, Day: c.QuotaReset})
			every = quotaEvery
		}
	}
	return plans, every
}

// replan takes over the quotas of another configuration. Under the lock.
func (q *quotas) replan(k *core, c *config.Config) {
	q.count(k)
	plans, every := plansOf(c)
	q.book.Replan(plans)
	if q.every != every {
		q.every = every
		select {
		case q.hurry <- struct{}{}:
		default:
		}
	}
}

// usedUp says that the named path has nothing left of its quota. Under the lock.
func (q *quotas) usedUp(name string) bool {
	if q == nil {
		return false
	}
	use, ok := q.book.Use(name)
	return ok && use.UsedUp()
}

// keepQuotas counts until ctx ends. Its wake serves the shrinker, too: each one more
// is too many on an idle host with a hundred tunnels.
func (p *Portal) keepQuotas(ctx context.Context) {
	tick := time.NewTicker(p.quotas.every)
	defer tick.Stop()
	shrinker := shrinker{portal: p}
	for {
		select {
		case <-tick.C:
		case <-p.quotas.hurry:
		case <-ctx.Done():
			return
		}
		var text []byte
		wall := p.Wall()
		p.do(func(now mono.Time) {
			p.countQuotas(now, wall)
			tick.Reset(p.quotas.every)
			if p.quotas.book.Due(now) {
				text = p.quotas.book.Text(now)
			}
		})
		if text != nil {
			p.saveQuotas(text)
		}
		shrinker.shrink(p.clock.Now())
	}
}

// closeQuotas counts the last, when nothing is sent any more, and saves.
func (p *Portal) closeQuotas() {
	p.mu.Lock()
	now := p.clock.Now()
	p.countQuotas(now, p.Wall())
	text := p.quotas.book.Text(now)
	p.mu.Unlock()
	p.saveQuotas(text)
}

// countQuotas enters what was carried, and acts on it. Under the lock.
func (p *Portal) countQuotas(now mono.Time, wall time.Time) {
	p.quotas.count(p.core)
	p.quotas.book.Observe(now, wall)
	for _, k := range p.keepers {
		p.enforceQuota(k)
	}
}

// count enters what the tunnel and its paths carried. Under the lock.
func (q *quotas) count(k *core) {
	k.tally.take(k.order, q.book.Count)
	now := quota.Traffic{TxPackets: k.exchange.TxPackets, TxBytes: k.exchange.TxBytes, RxPackets: k.rx.Packets, RxBytes: k.rx.Bytes}
	if carried := now.Minus(q.tunnel); carried != (quota.Traffic{}) {
		q.book.CountTunnel(carried)
		q.tunnel = now
	}
}

// enforceQuota gives a path of the local portal the metric that its quota asks
// for. Under the lock.
func (p *Portal) enforceQuota(k *keeper) {
	use, ok := p.quotas.book.Use(k.name)
	if !ok || k.stop == nil {
		return
	}
	q, metric := k.path, k.config.Metric
	if use.UsedUp() {
		metric = wire.ReserveMetric
	}
	if metric == q.Metric {
		return
	}
	q.SetMetric(metric)
	if use.UsedUp() {
		p.core.note(slog.LevelWarn, "the quota is used up: the path carries data only if every other fails", "path", q.Name, "bytes", use.Used, "until", use.Resets)
	} else {
		p.core.note(slog.LevelInfo, "the quota began anew", "path", q.Name, "bytes", use.Limit, "until", use.Resets)
	}
}

// saveQuotas writes the book, and says once what keeps it from being written:
// the count goes on, and is written when it can be. Without the lock.
func (p *Portal) saveQuotas(text []byte) {
	err := p.quotas.book.Write(text)
	if err == nil {
		p.quotas.complaint = ""
	} else if s := err.Error(); s != p.quotas.complaint {
		p.quotas.complaint = s
		p.Log.Warn("cannot save quotas and totals, and a restart would forget what was carried: make room on the disk, or set NETCOMBINER_STATE_DIR", "why", err)
	}
}

// status is how a path stands; nil where it has no quota. Under the lock.
func (q *quotas) status(name string) *control.Quota {
	if q == nil {
		return nil
	}
	use, ok := q.book.Use(name)
	if !ok {
		return nil
	}
	return &control.Quota{UsedBytes: use.Used, LimitBytes: use.Limit, Resets: use.Resets}
}

// hints tells which quotas are used up. Under the lock.
func (q *quotas) hints() (all []string) {
	if q == nil {
		return nil
	}
	for _, use := range q.book.Uses() {
		if use.UsedUp() {
			all = append(all, fmt.Sprintf("the quota of %s is used up: data only if all others fail", use.Path))
		}
	}
	return all
}

// totals are what was carried, by months; nil before the portal runs. Under the lock.
func (q *quotas) totals(k *core) (all []control.Month) {
	if q == nil {
		return nil
	}
	q.count(k)
	for _, m := range q.book.Months() {
		month := control.Month{Month: strings.TrimSuffix(m.Begins, "-01"), Paths: []control.PathTotal{}}
		month.Tunnel.Tx, month.Tunnel.Rx = directions(m.Tunnel)
		for _, name := range slices.Sorted(maps.Keys(m.Paths)) {
			tx, rx := directions(m.Paths[name])
			month.Paths = append(month.Paths, control.PathTotal{Name: name, Tx: tx, Rx: rx, LostPackets: m.Paths[name].Lost})
		}
		all = append(all, month)
	}
	return all
}

func directions(t quota.Traffic) (tx, rx control.Count) {
	return control.Count{Packets: t.TxPackets, Bytes: t.TxBytes}, control.Count{Packets: t.RxPackets, Bytes: t.RxBytes}
}
