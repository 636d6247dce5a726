package portal

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/quota"
	"netcombiner/src/wire"
)

// quotaEvery is how often what the paths carried is counted. So much later at
// most a path learns that its quota is used up.
const quotaEvery = time.Second

// quotas holds the local portal's paths to their monthly quotas. It counts what
// they send and receive; the remote learns what follows from a Join.
//
// A path whose quota is used up gets the reserve metric: from then on it carries
// what keeps it alive, and data only while every other path has failed. To lose
// the Internet for what is left of the month would be worse than the bill.
type quotas struct {
	book      *quota.Book
	counted   map[*path.Path]uint64 // bytes of its counters that the book has
	complaint string                // last logged
}

// openQuotas reads the book, where any path has a quota. Before the paths open.
func (p *Portal) openQuotas() {
	var plans []quota.Plan
	for _, c := range p.Config.Paths {
		if c.Quota > 0 {
			plans = append(plans, quota.Plan{Path: c.Name, Limit: c.Quota, Day: c.QuotaReset})
		}
	}
	if plans == nil {
		return
	}
	now := p.clock.Now()
	book, err := quota.Open(p.QuotaFile, now, plans)
	if err != nil && p.QuotaFile != "" {
		p.Log.Warn("quotas: " + err.Error())
	}
	book.Observe(now, p.Wall())
	p.quotas = &quotas{book: book, counted: map[*path.Path]uint64{}}
}

// keepQuotas counts until ctx ends.
func (p *Portal) keepQuotas(ctx context.Context) {
	tick := time.NewTicker(quotaEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var text []byte
		wall := p.Wall()
		p.do(func(now mono.Time) {
			p.countQuotas(now, wall)
			if p.quotas.book.Due(now) {
				text = p.quotas.book.Text(now)
			}
		})
		if text != nil {
			p.saveQuotas(text)
		}
	}
}

// closeQuotas counts the last, when nothing is sent any more, and saves.
func (p *Portal) closeQuotas() {
	if p.quotas == nil {
		return
	}
	p.mu.Lock()
	now := p.clock.Now()
	p.countQuotas(now, p.Wall())
	text := p.quotas.book.Text(now)
	p.mu.Unlock()
	p.saveQuotas(text)
}

// countQuotas enters what the paths carried, and acts on it. Under the lock.
func (p *Portal) countQuotas(now mono.Time, wall time.Time) {
	q := p.quotas
	for _, k := range p.keepers {
		carried := k.path.TxBytes + k.path.RxBytes
		q.book.Count(k.path.Name, carried-q.counted[k.path])
		q.counted[k.path] = carried
	}
	q.book.Observe(now, wall)
	for _, k := range p.keepers {
		p.enforceQuota(k.path)
	}
}

// enforceQuota gives a path of the local portal the metric that its quota asks
// for. Under the lock.
func (p *Portal) enforceQuota(q *path.Path) {
	if p.quotas == nil {
		return
	}
	use, ok := p.quotas.book.Use(q.Name)
	if !ok {
		return
	}
	metric := p.Config.Paths[q.ID].Metric
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
		p.Log.Warn("cannot save the quotas, and a restart would forget what was used: make room on the disk, or set NETCOMBINER_STATE_DIR", "why", err)
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
