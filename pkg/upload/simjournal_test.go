package upload_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/upload"
)

// diskFaults are what goes wrong with the journal.
var diskFaults = []string{"disk is full", "write fails, and is there", "journal is moved away", "head is lost", "head is torn"}

// mirror is what the journal was told, as far as it said that it is durable.
type mirror struct {
	mu         *sync.Mutex
	generation int                     // of the directory
	current    map[string]string       // the upload of a path
	tried      map[string][]string     // of a path: those that may have become current
	states     map[string]upload.State // no later than the journal's
	receipts   map[string]map[int]upload.Receipt
	delivering map[string]bool
}

func newMirror() mirror {
	return mirror{
		mu: new(sync.Mutex), current: make(map[string]string), tried: make(map[string][]string), states: make(map[string]upload.State),
		receipts: make(map[string]map[int]upload.Receipt), delivering: make(map[string]bool),
	}
}

// dir is where the journal is.
func (m *mirror) dir(in string) string {
	return filepath.Join(in, fmt.Sprint("journal ", m.generation))
}

// receipt is the durable receipt of a part of any upload.
func (m *mirror) receipt(part int) (upload.Receipt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rs := range m.receipts {
		if r, ok := rs[part]; ok {
			return r, true
		}
	}
	return upload.Receipt{}, false
}

func (m *mirror) stored(id string, part int) (upload.Receipt, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.receipts[id][part]
	return r, ok
}

// of is the upload of a path.
func (m *mirror) of(path string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current[path]
}

func (m *mirror) state(id string) upload.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[id]
}

// settle is what becomes of the directory when a process ended.
func (m *mirror) settle(s *simulation, l *life) {
	if l.killed.Load() {
		_ = os.RemoveAll(l.journal)
	} else if dir := m.dir(s.dir); l.journal != dir { // it was moved away
		_ = os.RemoveAll(dir)
		s.must(os.Rename(l.journal, dir))
	}
}

// rank is the order of states.
func rank(of upload.State) int {
	return slices.Index([]upload.State{"", upload.Sending, upload.Completing, upload.Waiting, upload.Done, upload.Delivered, upload.Corrupt}, of)
}

// loaded compares what a process finds with what was durable.
func (m *mirror) loaded(s *simulation, path string, rec *upload.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.current[path]
	if rec == nil {
		if was != "" && !m.delivering[was] {
			s.wrong("the journal lost %s", was)
		}
		delete(m.current, path)
		return
	}
	id := rec.Upload.ID
	if id != was && !slices.Contains(m.tried[path], id) {
		s.wrong("the journal has %s of %s, and had %q", id, path, was)
	}
	if rank(rec.State) < rank(m.states[id]) {
		s.wrong("%s was %q, and is %q", id, m.states[id], rec.State)
	}
	for n, r := range m.receipts[id] {
		if got, ok := rec.Receipts[n]; !ok || got.Value != r.Value || got.CRC32C != r.CRC32C || r.Unconfirmed == nil && got.Unconfirmed != nil || r.Checkpointed && !got.Checkpointed {
			s.wrong("the receipt of part %d was %+v, and is %+v", n, r, got)
		}
	}
	m.current[path], m.tried[path] = id, nil
	m.states[id], m.receipts[id] = rec.State, maps.Clone(rec.Receipts)
	s.say("found %s %q, %d receipts", id, rec.State, len(rec.Receipts))
}

// simJournal is the real journal on a disk that fails, in a process that is
// killed.
type simJournal struct {
	*simulation
	l *life
	j *journal.Journal
}

func (s *simulation) newJournal(l *life) upload.Journal {
	j := &journal.Journal{Dir: l.journal}
	j.Warn = func(text string) { s.wrong("the journal warns: %s", text) }
	j.Trace = func(step journal.Step) {
		s.mu.Lock()
		l.steps++
		n := l.steps
		s.mu.Unlock()
		if l.killed.Load() {
			return
		}
		if n == l.killStep {
			s.kill(fmt.Sprintf("before %s of %s", step.Kind, filepath.Base(step.Path)))
		}
		if n == l.away && !l.killed.Load() {
			if away := l.journal + " away"; os.Rename(l.journal, away) == nil {
				l.journal = away
				s.count("journal is moved away")
				s.say("the journal is moved away, before %s of %s", step.Kind, filepath.Base(step.Path))
			}
		}
	}
	return &simJournal{s, l, j}
}

// access is a call of the journal's.
func (j *simJournal) access(do func() error) error {
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.l.killed.Load() {
		return errKilled
	}
	err := do()
	if j.l.killed.Load() {
		return errKilled
	}
	return err
}

func (j *simJournal) Open(ctx context.Context, t upload.Target, path string) (e upload.Entry, err error) {
	var real upload.Entry
	err = j.access(func() (err error) { real, err = j.j.Open(ctx, t, path); return err })
	if err != nil {
		if real != nil {
			_ = real.Close()
		}
		return nil, err
	}
	return &simEntry{simJournal: j, real: real, path: path}, nil
}

func (j *simJournal) Find(ctx context.Context, t upload.Target, path string) (r *upload.Record, err error) {
	err = j.access(func() (err error) { r, err = j.j.Find(ctx, t, path); return err })
	return r, err
}

func (j *simJournal) Moved(ctx context.Context, t upload.Target, size int64) (rs []upload.Record, err error) {
	err = j.access(func() (err error) { rs, err = j.j.Moved(ctx, t, size); return err })
	return rs, err
}

type simEntry struct {
	*simJournal
	real upload.Entry
	path string
	id   string // of the upload
}

func (e *simEntry) Load(ctx context.Context) (r *upload.Record, err error) {
	err = e.access(func() (err error) { r, err = e.real.Load(ctx); return err })
	if err == nil {
		e.journal.loaded(e.simulation, e.path, r)
		if r != nil {
			e.id = r.Upload.ID
		}
	}
	return r, err
}

// write makes a change. before is what may be so from now on; after, what is.
func (e *simEntry) write(what string, before func(m *mirror), change func() error, after func(m *mirror)) error {
	m := &e.journal
	err := e.access(func() error {
		e.mu.Lock()
		e.calls["write"]++
		d := e.draw("write", e.l.n, e.calls["write"])
		fails := func(of int) bool { return !e.calm && d.IntN(1000*of) < e.kind.errorRate }
		if fails(20) && !e.l.full {
			e.l.full = true
			e.counts["disk is full"]++
		}
		full, late := e.l.full, fails(10)
		if late && !full {
			e.counts["write fails, and is there"]++
		}
		e.mu.Unlock()
		m.mu.Lock()
		before(m)
		m.mu.Unlock()
		if full {
			return fmt.Errorf("%w: %s: no space left on device", upload.ErrJournal, what)
		}
		err := change()
		if err == nil && late {
			err = fmt.Errorf("%w: %s: input/output error", upload.ErrJournal, what)
		}
		return err
	})
	if err != nil {
		e.say("journal: %s: %v", what, err)
		return err
	}
	e.say("journal: %s", what)
	m.mu.Lock()
	defer m.mu.Unlock()
	after(m)
	return nil
}

func (e *simEntry) Begin(ctx context.Context, r upload.Record) error {
	id := r.Upload.ID
	return e.write("begin "+id,
		func(m *mirror) {
			if was := m.current[e.path]; was != id {
				m.tried[e.path] = append(m.tried[e.path], was, id)
				return
			}
			for n := range m.receipts[id] { // those of a corrupt upload may go
				if _, stay := r.Receipts[n]; !stay {
					delete(m.receipts[id], n)
				}
			}
		},
		func() error { return e.real.Begin(ctx, r) },
		func(m *mirror) {
			e.id = id
			m.current[e.path], m.tried[e.path] = id, nil
			m.states[id], m.receipts[id] = r.State, maps.Clone(r.Receipts)
			if r.Receipts == nil {
				m.receipts[id] = make(map[int]upload.Receipt)
			}
		})
}

func (e *simEntry) Adopt(ctx context.Context, r upload.Record) error {
	id := r.Upload.ID
	return e.write("adopt "+id,
		func(m *mirror) {
			for path, other := range m.current { // it may be there still, and may not
				if other == id {
					delete(m.current, path)
					m.tried[path] = append(m.tried[path], id)
				}
			}
			m.tried[e.path] = append(m.tried[e.path], id)
		},
		func() error { return e.real.Adopt(ctx, r) },
		func(m *mirror) { e.id, m.current[e.path] = id, id })
}

func (e *simEntry) Receive(ctx context.Context, rs ...upload.Receipt) error {
	var parts []int
	for _, r := range rs {
		parts = append(parts, r.Part)
	}
	return e.write(fmt.Sprintf("receipts %v", parts), func(*mirror) {}, func() error { return e.real.Receive(ctx, rs...) },
		func(m *mirror) {
			for _, r := range rs {
				m.receipts[e.id][r.Part] = r
			}
		})
}

func (e *simEntry) Refresh(ctx context.Context, f upload.File, drop ...int) error {
	return e.write(fmt.Sprintf("drop %v", drop),
		func(m *mirror) {
			for _, n := range drop {
				delete(m.receipts[e.id], n)
			}
		},
		func() error { return e.real.Refresh(ctx, f, drop...) }, func(*mirror) {})
}

func (e *simEntry) Advance(ctx context.Context, to upload.State, o *upload.Outcome) error {
	return e.write("advance to "+string(to),
		func(m *mirror) {
			switch to {
			case upload.Sending, upload.Corrupt:
				m.states[e.id] = ""
			case upload.Delivered:
				m.delivering[e.id] = true
				e.mu.Lock()
				e.excused[e.id] = true
				e.mu.Unlock()
			case upload.Waiting, upload.Done:
				e.mu.Lock()
				done := e.complete[e.id]
				e.mu.Unlock()
				if !done {
					e.wrong("%s becomes %q, and was not completed", e.id, to)
				}
			}
		},
		func() error { return e.real.Advance(ctx, to, o) },
		func(m *mirror) { m.states[e.id] = to })
}

// Close gives the lock back, of a process that was killed too.
func (e *simEntry) Close() error {
	e.disk.Lock()
	defer e.disk.Unlock()
	return e.real.Close()
}
