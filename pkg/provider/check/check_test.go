package check_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/upload"
)

// wrong is a provider that does one thing as it must not, and the case that
// has to notice.
type wrong struct {
	name  string
	twist func(*altered)
	found string
}

var wrongs = []wrong{
	{"the receipt loses its quotes", func(p *altered) {
		p.received = func(r upload.Receipt) upload.Receipt { r.Value = strings.Trim(r.Value, `"`); return r }
	}, "one byte"},
	{"other bytes are sent", func(p *altered) {
		p.body = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	}, "one byte"},
	{"a part is not in the plan", func(p *altered) {
		p.created = func(u *upload.Upload) { u.Parts = u.Parts[1:] }
	}, "several parts"},
	{"the name is another", func(p *altered) {
		p.named = path.Base
	}, "names"},
	{"an upload is known to its process alone", func(p *altered) {
		p.created = func(u *upload.Upload) { p.own = u.ID }
		p.before = func(u upload.Upload) error {
			if p.own == u.ID {
				return nil
			}
			return upload.ErrGone
		}
	}, "a process for each step"},
	{"half a part is enough", func(p *altered) {
		p.putEnded = func(part upload.Part, r upload.Receipt, err error) (upload.Receipt, error) {
			if err != nil {
				return upload.Receipt{Part: part.Number, Value: `"half"`}, nil
			}
			return r, nil
		}
	}, "a part cut short"},
	{"no presigned is no error", func(p *altered) {
		p.signed = func([]upload.Presigned) []upload.Presigned { return nil }
	}, "urls again"},
	{"a presigned URL past its end is refused", func(p *altered) {
		p.putEnded = func(_ upload.Part, r upload.Receipt, err error) (upload.Receipt, error) {
			if errors.Is(err, upload.ErrExpired) {
				err = upload.ErrRefused
			}
			return r, err
		}
	}, "a presigned URL past its end"},
	{"a refused complete is a success", func(p *altered) {
		p.completed = func(r upload.Result, err error) (upload.Result, error) {
			if err != nil {
				return upload.Result{Value: "fine", Reply: []byte("{}")}, nil
			}
			return r, nil
		}
	}, "a part missing"},
	{"the digest is left out", func(p *altered) {
		p.digests = func(upload.Digests) upload.Digests { return upload.Digests{} }
	}, "another digest"},
	{"complete lists what was checkpointed", func(p *altered) {
		p.listed = func(r upload.Receipt) upload.Receipt { r.Checkpointed = false; return r }
	}, "checkpoints"},
	{"the second result is another", func(p *altered) {
		p.completed = func(r upload.Result, err error) (upload.Result, error) {
			p.times++
			r.Value = fmt.Sprint(r.Value, p.times)
			return r, err
		}
	}, "completed twice"},
	{"an upload that is gone cannot be aborted", func(p *altered) {
		p.aborted = func(err error) error { p.times++; return errors.Join(err, upload.ErrGone) }
	}, "abort"},
	{"an unknown upload is a passing trouble", func(p *altered) {
		p.completed = func(r upload.Result, err error) (upload.Result, error) {
			if err != nil {
				err = errors.New("try later")
			}
			return r, err
		}
	}, "an unknown upload"},
	{"a refused key is an unusable reply", func(p *altered) {
		p.createFailed = func(error) error { return upload.ErrReply }
	}, "a refused key"},
	{"the key is in an error", func(p *altered) {
		p.createFailed = func(err error) error { return fmt.Errorf("%w: %s", err, badKey) }
	}, "a refused key"},
	{"the context is ignored", func(p *altered) {
		p.context = context.WithoutCancel
	}, "cancelled before"},
	{"the key goes to the store", func(p *altered) {
		p.header = map[string]string{"X-Api-Key": goodKey}
	}, "where the key went"},
}

// TestSuiteFindsWrongProbes holds the same of a provider that can be asked how an
// upload ended.
func TestSuiteFindsWrongProbes(t *testing.T) {
	const found = "asked how it ended"
	for name, twist := range map[string]func(*askable){
		"": func(*askable) {},
		"it is always said to be completed": func(p *askable) {
			p.answered = func(_ upload.Answer, r upload.Result) (upload.Answer, upload.Result) {
				return upload.Completed, r
			}
		},
		"it is never said to be completed": func(p *askable) {
			p.answered = func(upload.Answer, upload.Result) (upload.Answer, upload.Result) {
				return upload.Unknown, upload.Result{}
			}
		},
		"the result is another": func(p *askable) {
			p.answered = func(a upload.Answer, r upload.Result) (upload.Answer, upload.Result) {
				r.Value += "x"
				return a, r
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := subjectOf(t, "fileai", func(p spec.Provider) upload.Provider {
				a := &askable{Provider: p, prober: p.(upload.Prober)}
				twist(a)
				return a
			})
			s.Only = []string{found}
			n := &notes{ctx: t.Context()}
			check.Run(n, s)
			if failed := slices.Contains(n.failed, found); failed != (name != "") {
				t.Errorf("failed: %t\n%s", failed, strings.Join(n.lines, "\n"))
			}
		})
	}
}

// askable is a provider whose answers are altered.
type askable struct {
	upload.Provider
	prober   upload.Prober
	answered func(upload.Answer, upload.Result) (upload.Answer, upload.Result)
}

func (p *askable) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	a, r, err := p.prober.Probe(ctx, u)
	if err == nil && p.answered != nil {
		a, r = p.answered(a, r)
	}
	return a, r, err
}

// TestSuiteFindsWrongProviders holds that each case finds what it is there for, and finds
// nothing in a provider that is right.
func TestSuiteFindsWrongProviders(t *testing.T) {
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			for _, twist := range []func(*altered){nil, w.twist} {
				s := subject(t, twist)
				// Something has to be sent before it is asked where the key went.
				s.Only = []string{"one byte", w.found}
				n := &notes{ctx: t.Context()}
				check.Run(n, s)
				failed := slices.Contains(n.failed, w.found)
				if failed != (twist != nil) {
					t.Errorf("%q failed: %t, with the fault %t\n%s", w.found, failed, twist != nil, strings.Join(n.lines, "\n"))
				}
			}
		})
	}
}

func TestOnlyNamesCases(t *testing.T) {
	s := subject(t, nil)
	s.Only = []string{"no such case"}
	n := &notes{ctx: t.Context()}
	n.Run("", func(n *notes) { check.Run(n, s) })
	if len(n.failed) == 0 {
		t.Error("an unknown case was run")
	}
}

const (
	goodKey = "key-of-the-suite-0e7a"
	badKey  = "key-that-is-refused-55d1"
)

type secret string

func (s secret) Reveal() string { return string(s) }

// subject is Archetype's provider on the sandbox, altered.
func subject(t *testing.T, twist func(*altered)) check.Subject {
	t.Helper()
	s := subjectOf(t, "archetype", func(p spec.Provider) upload.Provider {
		if twist == nil {
			return p
		}
		tw := &altered{Provider: p}
		twist(tw)
		return tw
	})
	s.Renewable, s.Checkpoints, s.Aborts, s.Digest = true, true, true, upload.DigestCRC32C
	return s
}

// subjectOf is the provider of an API on the sandbox, within another.
func subjectOf(t *testing.T, api string, within func(spec.Provider) upload.Provider) check.Subject {
	t.Helper()
	wire := &check.Recorder{}
	var past atomic.Bool
	front, back := httptest.NewUnstartedServer(nil), httptest.NewUnstartedServer(nil)
	server := &sandbox.Server{
		API: api, Dir: t.TempDir(), Key: goodKey, PartSize: 4096,
		StoreURL: "http://" + back.Listener.Addr().String(),
		Now: func() time.Time {
			if past.Load() {
				return time.Now().Add(-48 * time.Hour)
			}
			return time.Now()
		},
	}
	m, err := provider.Load(api)
	if err != nil {
		t.Fatal(err)
	}
	calls, store, err := server.Handlers()
	if err != nil {
		t.Fatal(err)
	}
	front.Config.Handler, back.Config.Handler = wire.Handler(check.API, calls), wire.Handler(check.Store, store)
	for _, s := range []*httptest.Server{front, back} {
		s.Start()
		t.Cleanup(s.Close)
	}
	return check.Subject{
		Key: goodKey, BadKey: badKey, PartSize: server.PartSize, Wire: wire,
		Empty: true, Probes: api == "fileai",
		Backdate: func() func() {
			past.Store(true)
			return func() { past.Store(false) }
		},
		Open: func(o check.Opening) (upload.Provider, error) {
			p, err := m.Open(provider.Settings{
				Base: front.URL + sandbox.Base(server.API), Keys: []provider.Secret{secret(o.Key)}, Options: o.Options,
			})
			if err != nil {
				return nil, err
			}
			return within(p), nil
		},
		Object: func(_ context.Context, u upload.Upload, _ upload.Result) (string, []byte, error) {
			list, err := server.Finished()
			for _, f := range list {
				if f.Upload == u.ID {
					body, err := os.ReadFile(f.Path)
					return f.Name, body, err
				}
			}
			return "", nil, errors.Join(err, fmt.Errorf("there is no object of %s", u.ID))
		},
	}
}

// altered is a provider with something wrong, where a field is set.
type altered struct {
	upload.Provider
	mu    sync.Mutex
	own   string
	times int

	context      func(context.Context) context.Context
	named        func(string) string
	created      func(*upload.Upload)
	createFailed func(error) error
	before       func(upload.Upload) error
	signed       func([]upload.Presigned) []upload.Presigned
	header       map[string]string
	body         func([]byte) []byte
	received     func(upload.Receipt) upload.Receipt
	putEnded     func(upload.Part, upload.Receipt, error) (upload.Receipt, error)
	listed       func(upload.Receipt) upload.Receipt
	digests      func(upload.Digests) upload.Digests
	completed    func(upload.Result, error) (upload.Result, error)
	aborted      func(error) error
}

func (p *altered) ctx(ctx context.Context) context.Context {
	if p.context != nil {
		return p.context(ctx)
	}
	return ctx
}

func (p *altered) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	told := f
	if p.named != nil {
		told.Name = p.named(f.Name)
	}
	u, gs, err := p.Provider.Create(p.ctx(ctx), told, w)
	u.File = f
	switch {
	case err != nil && p.createFailed != nil:
		err = p.createFailed(err)
	case err == nil && p.created != nil:
		p.created(&u)
	}
	if err != nil {
		return upload.Upload{}, nil, err
	}
	return u, gs, nil
}

func (p *altered) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	gs, err := p.Provider.Presign(p.ctx(ctx), u, parts)
	if err == nil && p.signed != nil {
		gs = p.signed(gs)
	}
	return gs, err
}

func (p *altered) Put(ctx context.Context, u upload.Upload, g upload.Presigned, part upload.Part, body io.Reader) (upload.Receipt, error) {
	if p.before != nil {
		if err := p.before(u); err != nil {
			return upload.Receipt{}, err
		}
	}
	if p.body != nil {
		b, err := io.ReadAll(body)
		if err != nil {
			return upload.Receipt{}, err
		}
		body = bytes.NewReader(p.body(b))
	}
	if p.header != nil {
		g.Header = maps.Clone(p.header)
	}
	r, err := p.Provider.Put(p.ctx(ctx), u, g, part, body)
	if err == nil && p.received != nil {
		r = p.received(r)
	}
	if p.putEnded != nil {
		return p.putEnded(part, r, err)
	}
	return r, err
}

func (p *altered) Checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) error {
	return p.Provider.(upload.Checkpointer).Checkpoint(p.ctx(ctx), u, rs)
}

func (p *altered) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listed != nil {
		rs = slices.Clone(rs)
		for i := range rs {
			rs[i] = p.listed(rs[i])
		}
	}
	if p.digests != nil {
		d = p.digests(d)
	}
	r, err := p.Provider.Complete(p.ctx(ctx), u, rs, d)
	if p.completed != nil {
		return p.completed(r, err)
	}
	return r, err
}

func (p *altered) Abort(ctx context.Context, u upload.Upload) error {
	err := p.Provider.Abort(p.ctx(ctx), u)
	if p.aborted != nil {
		return p.aborted(err)
	}
	return err
}

// notes is a test that is no testing.T: it only writes down what happened.
type notes struct {
	ctx context.Context

	mu     sync.Mutex
	lines  []string
	bad    bool
	failed []string // cases
}

func (n *notes) Helper()                  {}
func (n *notes) Context() context.Context { return n.ctx }

func (n *notes) Logf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Errorf(format string, args ...any) {
	n.Logf(format, args...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bad = true
}

func (n *notes) Fatalf(format string, args ...any) {
	n.Errorf(format, args...)
	runtime.Goexit()
}

func (n *notes) Run(name string, f func(*notes)) bool {
	below := &notes{ctx: n.ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(below)
	}()
	<-done
	for _, line := range below.lines {
		n.lines = append(n.lines, name+": "+line)
	}
	if below.bad {
		n.failed = append(n.failed, name)
	}
	return !below.bad
}
