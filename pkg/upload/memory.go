package upload

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a Journal that lasts as long as the process. What is delivered is
// forgotten. The zero value is empty and ready. It may be used by several
// goroutines.
type Memory struct {
	mu      sync.Mutex
	records map[string]*Record // by key
	open    map[string]bool
}

var _ Journal = (*Memory)(nil)

// key is what tells uploads apart.
func (m *Memory) key(t Target, path string) string {
	b, _ := json.Marshal(t) //nolint:errchkjson // all of its fields can be encoded
	return string(b) + path
}

// Open takes the upload with this target and path.
func (m *Memory) Open(_ context.Context, t Target, path string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records, m.open = make(map[string]*Record), make(map[string]bool)
	}
	k := m.key(t, path)
	if m.open[k] {
		return nil, &BusyError{Holder: "this process"}
	}
	m.open[k] = true
	return &memoryEntry{m, k, t, path}, nil
}

// Find reads a record.
func (m *Memory) Find(_ context.Context, t Target, path string) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.key(t, path)
	if m.open[k] {
		return nil, &BusyError{Holder: "this process"}
	}
	return copyOf(m.records[k]), nil
}

// Moved lists the uploads of a file of this name and size, the latest first.
func (m *Memory) Moved(_ context.Context, t Target, size int64) (found []Record, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, r := range m.records {
		if m.key(r.Target, "") == m.key(t, "") && r.Upload.File.Size == size && r.State != Delivered && !m.open[k] {
			found = append(found, *copyOf(r))
		}
	}
	slices.SortFunc(found, func(a, b Record) int { return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.Path, b.Path)) })
	return found, nil
}

// copyOf keeps callers from each other's records.
func copyOf(r *Record) *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Upload.Parts = slices.Clone(r.Upload.Parts)
	c.Receipts = maps.Clone(r.Receipts)
	return &c
}

type memoryEntry struct {
	m      *Memory
	key    string
	target Target
	path   string
}

func (e *memoryEntry) Load(context.Context) (*Record, error) {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	return copyOf(e.m.records[e.key]), nil
}

func (e *memoryEntry) Begin(ctx context.Context, r Record) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	r.Target, r.Path, r.Updated = e.target, e.path, time.Now()
	if r.Receipts == nil {
		r.Receipts = make(map[int]Receipt)
	}
	e.m.records[e.key] = copyOf(&r)
	return nil
}

func (e *memoryEntry) Adopt(_ context.Context, r Record) error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	for k, old := range e.m.records {
		if old.Upload.ID != r.Upload.ID || k == e.key {
			continue
		}
		if e.m.open[k] {
			return &BusyError{Holder: "this process"}
		}
		delete(e.m.records, k)
	}
	r.Target, r.Path, r.Updated = e.target, e.path, time.Now()
	e.m.records[e.key] = copyOf(&r)
	return nil
}

// change changes the record.
func (e *memoryEntry) change(by func(*Record)) error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	r := e.m.records[e.key]
	if r == nil {
		return fmt.Errorf("%w: the record of this upload is gone", ErrJournal)
	}
	by(r)
	r.Updated = time.Now()
	return nil
}

func (e *memoryEntry) Receive(_ context.Context, rs ...Receipt) error {
	return e.change(func(r *Record) {
		for _, receipt := range rs {
			r.Receipts[receipt.Part] = receipt
		}
	})
}

func (e *memoryEntry) Refresh(_ context.Context, f File, drop ...int) error {
	return e.change(func(r *Record) {
		r.Upload.File = f
		for _, n := range drop {
			delete(r.Receipts, n)
		}
	})
}

func (e *memoryEntry) Advance(_ context.Context, s State, o *Outcome) error {
	return e.change(func(r *Record) {
		r.State = s
		if o != nil {
			r.Outcome = o
		}
		if s == Waiting || s == Done || s == Delivered || s == Corrupt {
			r.Presigned = nil
		}
	})
}

func (e *memoryEntry) Close() error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if r := e.m.records[e.key]; r != nil && r.State == Delivered {
		delete(e.m.records, e.key)
	}
	delete(e.m.open, e.key)
	return nil
}
