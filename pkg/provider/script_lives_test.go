package provider_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// played is a file on its way through a script.
type played struct {
	*script
	d      *provider.Definition
	dir    string
	file   upload.File
	body   []byte
	result any
	atOnce int // parts
}

var (
	readyEvery = regexp.MustCompile(`(?m)^  every: .*\n`)
	readyStep  = regexp.MustCompile(`(?m)^ready:\n`)
)

// definition is a manifest of the gallery, which asks more often whether a file
// is ready.
func definition(t *testing.T, name string) *provider.Definition {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifestsDir, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text = readyStep.ReplaceAll(readyEvery.ReplaceAll(text, nil), []byte("ready:\n  every: 1ms\n"))
	d, err := provider.Load(write(t, name+".yaml", string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// livesOf are the samples of a manifest by upload: those of a create that makes
// one, and what follows.
func sequencesOf(t *testing.T, d *provider.Definition) (sequences [][]spec.Sample) {
	t.Helper()
	all, err := d.Samples()
	if err != nil {
		t.Fatal(err)
	}
	requests := 0 // of create, which may be a list
	for _, r := range d.Requests {
		if r.Step == "create" {
			requests++
		}
	}
	creates := requests
	for _, s := range all {
		if s.Step == "create" {
			if creates++; creates > requests {
				sequences, creates = append(sequences, nil), 1
			}
		}
		last := len(sequences) - 1
		sequences[last] = append(sequences[last], s)
	}
	return slices.DeleteFunc(sequences, func(life []spec.Sample) bool { _, fails := life[0].Want["error"]; return fails })
}

// play sets a file out for one life of a manifest.
func play(t *testing.T, d *provider.Definition, life []spec.Sample) *played {
	t.Helper()
	given := life[0].Given
	p := &played{d: d, dir: filepath.Join(t.TempDir(), "journal"), file: given.File, atOnce: 1}
	if p.body = bytes.Repeat([]byte("multiput"), int(given.File.Size/8+1))[:given.File.Size]; given.Bytes != nil {
		p.body = []byte(*given.Bytes)
	}
	for _, s := range life {
		if _, fails := s.Want["error"]; !fails && s.Want["result"] != nil && s.Step != "probe" {
			p.result = s.Want["result"]
		}
	}
	p.file.Path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(p.file.Path, p.body, 0o600); err != nil {
		t.Fatal(err)
	}
	p.script = &script{t: t, life: life, played: map[string]int{}, all: []int{1}, parts: map[int][]byte{}, puts: map[int]int{}}
	return p
}

// run uploads the file, as a process does that has just started.
func (p *played) run(ctx context.Context) (upload.Report, error) {
	speaker := p.open(p.d)
	u := &upload.Uploader{
		Provider: speaker, Target: speaker.Target(), Journal: &journal.Journal{Dir: p.dir}, Concurrency: p.atOnce, Wait: true,
		PartSize: p.life[0].Given.PartSize, Retry: transport.Policy{Retries: 4, Base: time.Millisecond},
	}
	return u.Upload(ctx, upload.File{Path: p.file.Path, Name: p.file.Name, Type: p.file.Type})
}

// ended holds that the file was uploaded.
func (p *played) ended(t *testing.T, rep upload.Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v, after %v", err, p.seen)
	}
	if p.result != nil && rep.Result.Value != p.result {
		t.Errorf("the result is %q, want %q", rep.Result.Value, p.result)
	}
	var stored []byte
	for _, n := range p.all {
		stored = append(stored, p.parts[n]...)
	}
	if !bytes.Equal(stored, p.body) {
		t.Errorf("%d bytes were stored, of %d: %v", len(stored), len(p.body), p.seen)
	}
}

// lost is the error of an exchange that got no answer.
func lost() error { return &transport.Error{Op: "test", Err: io.ErrUnexpectedEOF, Retry: true} }

// TestScripts takes a file through every manifest of the gallery: undisturbed,
// with each reply lost, with an expired URL, and stopped at each request and
// continued by another process.
func TestScripts(t *testing.T) {
	for _, name := range provider.Gallery() {
		name = filepath.Base(name)
		d := definition(t, name)
		for i, life := range sequencesOf(t, d) {
			t.Run(fmt.Sprintf("%s %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				p := play(t, d, life)
				rep, err := p.run(t.Context())
				p.ended(t, rep, err)
				if t.Failed() {
					return
				}
				whole := !slices.ContainsFunc(p.seen, func(e event) bool { return e.step == "complete" })
				if !whole && d.Abilities.URLs != spec.URLsNone {
					t.Run("expired", func(t *testing.T) { expired(t, d, life) })
				}
				t.Run("four at once", func(t *testing.T) {
					p := play(t, d, life)
					p.atOnce = 4
					rep, err := p.run(t.Context())
					p.ended(t, rep, err)
				})
				for n, e := range p.seen {
					if _, said := answerOf(life, e.step, "gone"); said {
						t.Run(fmt.Sprintf("gone at %d", n+1), func(t *testing.T) { gone(t, d, life, n+1) })
					}
					if e.step == "confirm" {
						t.Run(fmt.Sprintf("not confirmed at %d", n+1), func(t *testing.T) { notConfirmed(t, d, life, n+1) })
					}
					t.Run(fmt.Sprintf("reply %d lost", n+1), func(t *testing.T) { replyLost(t, d, life, n+1, whole) })
					t.Run(fmt.Sprintf("stopped at %d", n+1), func(t *testing.T) { stopped(t, d, life, n+1, whole) })
				}
			})
		}
	}
}

// answerOf is the reply of a sample of a step that means an error.
func answerOf(life []spec.Sample, step, word string) (spec.Sample, bool) {
	for _, s := range life {
		if s.Step == step && s.Want["error"] == word {
			return s, true
		}
	}
	return spec.Sample{}, false
}

// gone has the API say once that it no longer knows the upload: another is
// begun, by this run or by the next.
func gone(t *testing.T, d *provider.Definition, life []spec.Sample, n int) {
	p := play(t, d, life)
	p.instead = func(at int, e event) *spec.Sample {
		if at != n {
			return nil
		}
		s, _ := answerOf(life, e.step, "gone")
		return &s
	}
	rep, err := p.run(t.Context())
	if err != nil {
		if !errors.Is(err, upload.ErrGone) {
			t.Errorf("it ended with %v", err)
		}
		rep, err = p.run(t.Context())
	}
	p.ended(t, rep, err)
	if p.times("create") < 2 {
		t.Errorf("no other upload was begun: %v", p.seen)
	}
}

// notConfirmed refuses a confirmation for good: the run ends, without the part
// being sent again, and the next one confirms it.
func notConfirmed(t *testing.T, d *provider.Definition, life []spec.Sample, n int) {
	p := play(t, d, life)
	p.instead = func(at int, _ event) *spec.Sample {
		if at != n {
			return nil
		}
		return &spec.Sample{Reply: spec.SampleReply{Status: http.StatusBadRequest, Body: `{"message":"never"}`}}
	}
	if _, err := p.run(t.Context()); !errors.Is(err, upload.ErrRefused) || len(p.seen) > n+1 { // one that is aborted
		t.Fatalf("it ended with %v, after %v", err, p.seen)
	}
	part := p.seen[n-1].part
	puts := p.puts[part]
	rep, err := p.run(t.Context())
	p.ended(t, rep, err)
	if p.puts[part] != puts {
		t.Errorf("part %d was sent again: %v", part, p.seen)
	}
}

// expired refuses the first part as past the end of its URL: another is asked for, or the upload begun again.
func expired(t *testing.T, d *provider.Definition, life []spec.Sample) {
	p := play(t, d, life)
	p.expire = 1
	rep, err := p.run(t.Context())
	p.ended(t, rep, err)
}

// replyLost loses the reply to one request that was acted on.
func replyLost(t *testing.T, d *provider.Definition, life []spec.Sample, n int, whole bool) {
	p := play(t, d, life)
	p.after = func(at int) error {
		if at == n {
			return lost()
		}
		return nil
	}
	rep, err := p.run(t.Context())
	if whole && p.seen[n-1].step == "part" { // it may have been the end of it
		if !errors.Is(err, upload.ErrDoubt) || p.puts[1] != 1 {
			t.Errorf("%v, sent %d times", err, p.puts[1])
		}
		return
	}
	p.ended(t, rep, err)
}

// stopped stops at one request, whose outcome is lost, and runs again.
func stopped(t *testing.T, d *provider.Definition, life []spec.Sample, n int, whole bool) {
	p := play(t, d, life)
	ctx, stop := context.WithCancelCause(t.Context())
	p.before = func(at int) error {
		if at < n {
			return nil
		}
		stop(errors.New("stopped"))
		return lost()
	}
	if _, err := p.run(ctx); err == nil {
		t.Fatal("it came to its end")
	}
	at := p.seen[n-1]
	durable := map[int]int{} // parts that another part or complete was begun after
	var before []int
	for _, e := range p.seen[:n] {
		if e.step == "part" || e.step == "complete" {
			for _, part := range before {
				durable[part] = p.puts[part]
			}
		}
		if e.step == "part" && p.parts[e.part] != nil {
			before = append(before, e.part)
		}
	}
	p.before = nil
	rep, err := p.run(t.Context())
	if whole && at.step == "part" {
		if !errors.Is(err, upload.ErrDoubt) || p.puts[1] != 0 {
			t.Errorf("%v, sent %d times", err, p.puts[1])
		}
		return
	}
	p.ended(t, rep, err)
	for part, puts := range durable {
		if p.puts[part] != puts {
			t.Errorf("part %d was sent again: %v", part, p.seen)
		}
	}
}
