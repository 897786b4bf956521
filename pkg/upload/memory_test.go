package upload_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// errKilled is what a process hears of the world after it was killed: nothing
// it tries has an effect.
var errKilled = errors.New("killed")

// process says whether the process that a journal and a cloud talk to is still
// alive.
type process struct{ killed atomic.Bool }

// memory is a Journal in memory: durable, with locks that its process drops
// when it ends, and with a chosen moment of death or failure.
type memory struct {
	*process

	mu      sync.Mutex
	records map[string]*upload.Record
	locks   map[string]bool
	writes  []string // what was written, in order

	// killAt is the write at which the process is killed, counted from 1;
	// after it is durable if killAfter, else before.
	killAt    int
	killAfter bool
	// fail makes a write of this process fail, without effect.
	fail func(kind string) error
}

func newMemory(p *process) *memory {
	return &memory{process: p, records: make(map[string]*upload.Record), locks: make(map[string]bool)}
}

// restart is a new process: the kernel has dropped the locks of the old one.
func (m *memory) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed.Store(false)
	clear(m.locks)
	m.killAt, m.writes = 0, nil
}

func key(t upload.Target, path string) string {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	return string(b) + " " + path
}

func clone(r upload.Record) *upload.Record {
	r.Upload.Parts = slices.Clone(r.Upload.Parts)
	r.Upload.Existing = slices.Clone(r.Upload.Existing)
	r.Presigned = slices.Clone(r.Presigned)
	if r.Receipts = maps.Clone(r.Receipts); r.Receipts == nil {
		r.Receipts = make(map[int]upload.Receipt)
	}
	if r.Outcome != nil {
		o := *r.Outcome
		r.Outcome = &o
	}
	return &r
}

// write makes one durable change.
func (m *memory) write(ctx context.Context, kind string, change func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.killed.Load() {
		return errKilled
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", upload.ErrJournal, err)
	}
	if m.fail != nil {
		if err := m.fail(kind); err != nil {
			return fmt.Errorf("%w: %w", upload.ErrJournal, err)
		}
	}
	m.writes = append(m.writes, kind)
	mine := len(m.writes) == m.killAt
	if mine && !m.killAfter {
		m.killed.Store(true)
		return errKilled
	}
	if err := change(); err != nil {
		return err
	}
	if mine {
		m.killed.Store(true)
		return errKilled
	}
	return nil
}

func (m *memory) Open(_ context.Context, t upload.Target, path string) (upload.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := key(t, path)
	if m.locks[k] {
		return nil, &upload.BusyError{Holder: "another test"}
	}
	m.locks[k] = true
	return &memoryEntry{memory: m, key: k, target: t, path: path}, nil
}

func (m *memory) Find(_ context.Context, t upload.Target, path string) (*upload.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := key(t, path)
	if m.locks[k] {
		return nil, &upload.BusyError{Holder: "another test"}
	}
	if r := m.records[k]; r != nil {
		return clone(*r), nil
	}
	return nil, nil
}

func (m *memory) Moved(_ context.Context, t upload.Target, size int64) ([]upload.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rs []upload.Record
	for _, r := range m.records {
		if key(r.Target, "") == key(t, "") && r.Upload.File.Size == size && r.State != upload.Delivered {
			rs = append(rs, *clone(*r))
		}
	}
	slices.SortFunc(rs, func(a, b upload.Record) int { return b.Updated.Compare(a.Updated) })
	return rs, nil
}

// of is the record of an upload, nil if there is none.
func (m *memory) of(id string) *upload.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Upload.ID == id {
			return clone(*r)
		}
	}
	return nil
}

// has reports whether the receipt of a part is durable.
func (m *memory) has(id string, part int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Upload.ID == id {
			_, ok := r.Receipts[part]
			return ok
		}
	}
	return false
}

func (m *memory) state(id string) upload.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Upload.ID == id {
			return r.State
		}
	}
	return ""
}

type memoryEntry struct {
	*memory
	key    string
	target upload.Target
	path   string
	closed bool
}

func (e *memoryEntry) Load(context.Context) (*upload.Record, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.records[e.key]; r != nil {
		return clone(*r), nil
	}
	return nil, nil
}

func (e *memoryEntry) Begin(ctx context.Context, r upload.Record) error {
	return e.write(ctx, "begin", func() error {
		c := clone(r)
		c.Target, c.Path, c.Updated = e.target, e.path, time.Now()
		e.records[e.key] = c
		return nil
	})
}

func (e *memoryEntry) Adopt(ctx context.Context, r upload.Record) error {
	return e.write(ctx, "adopt", func() error {
		for k, old := range e.records {
			if old.Upload.ID != r.Upload.ID || k == e.key {
				continue
			}
			if e.locks[k] {
				return &upload.BusyError{Holder: "another test"}
			}
			delete(e.records, k)
		}
		c := clone(r)
		c.Target, c.Path, c.Updated = e.target, e.path, time.Now()
		e.records[e.key] = c
		return nil
	})
}

func (e *memoryEntry) change(ctx context.Context, kind string, change func(r *upload.Record)) error {
	return e.write(ctx, kind, func() error {
		r := e.records[e.key]
		if r == nil {
			return fmt.Errorf("%w: there is no record", upload.ErrJournal)
		}
		change(r)
		r.Updated = time.Now()
		return nil
	})
}

func (e *memoryEntry) Receive(ctx context.Context, rs ...upload.Receipt) error {
	kind := "receipt"
	if !slices.ContainsFunc(rs, func(r upload.Receipt) bool { return !r.Checkpointed }) {
		kind = "checkpoint"
	}
	return e.change(ctx, kind, func(r *upload.Record) {
		for _, receipt := range rs {
			r.Receipts[receipt.Part] = receipt
		}
	})
}

func (e *memoryEntry) Refresh(ctx context.Context, f upload.File, drop ...int) error {
	return e.change(ctx, "refresh", func(r *upload.Record) {
		r.Upload.File = f
		for _, n := range drop {
			delete(r.Receipts, n)
		}
	})
}

func (e *memoryEntry) Advance(ctx context.Context, s upload.State, o *upload.Outcome) error {
	return e.change(ctx, string(s), func(r *upload.Record) {
		r.State = s
		if o != nil {
			r.Outcome = o
		}
		if s == upload.Done || s == upload.Delivered || s == upload.Corrupt {
			r.Presigned = nil
		}
	})
}

func (e *memoryEntry) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		delete(e.locks, e.key)
	}
	return nil
}
