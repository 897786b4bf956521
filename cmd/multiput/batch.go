package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/upload"
)

// batch takes files to one provider, side by side as far as they leave slots
// free. All are tried. Results come out in the order of the files.
type batch struct {
	app  *app
	cfg  config.Config
	opts uploadOptions
	to   *upload.Uploader
	m    *manifest.Manifest
	out  *output
	show *progress.Display

	mu   sync.Mutex // of what is told, and code
	code int
}

// ahead is how many files may be done, for each slot, and wait for their turn to
// be told of: each has two files open.
const ahead = 8

// run uploads the files and gives the exit code.
func (b *batch) run(ctx context.Context, files []string) int {
	slots := upload.NewSlots(b.cfg.Concurrency)
	open := make(chan struct{}, ahead*slots.Len())
	var all sync.WaitGroup
	before := make(chan struct{}) // closed when the file before is done
	close(before)
	for i, file := range files {
		open <- struct{}{}
		if err := slots.Take(ctx, i); err != nil {
			all.Wait()
			b.tell(failure{err: fmt.Errorf("%s: %w", file, err), file: file})
			return b.code
		}
		turn, done := before, make(chan struct{})
		before = done
		all.Go(func() {
			defer func() { <-open }()
			defer close(done)
			// Who waits to be told of needs no slot.
			give := sync.OnceFunc(slots.Give)
			b.file(ctx, file, len(files) > 1, upload.Uploader{Slots: slots, Rank: i}, func() { give(); <-turn })
			give()
			<-turn
		})
	}
	all.Wait()
	return b.code
}

// file uploads one; turn waits until it is to be told of.
func (b *batch) file(ctx context.Context, file string, several bool, share upload.Uploader, turn func()) {
	u := *b.to
	u.Slots, u.Rank = share.Slots, share.Rank
	observe, end := b.show.File(file)
	u.Observe = b.app.actions.observe(file, b.app.json || b.cfg.Quiet, observe)
	u.Deliver = func(ctx context.Context, r upload.Report) error {
		turn()
		return b.app.aside(b.show, func() error { return b.out.print(ctx, file, r) })
	}
	f := upload.File{Path: file, Name: b.opts.name, Type: b.cfg.ContentType}
	send := u.Upload
	if file == stdin {
		send = func(ctx context.Context, f upload.File) (upload.Report, error) {
			return b.app.stream(ctx, b.cfg, &u, f, b.opts, b.show.Warn)
		}
	}
	report, err := send(ctx, f)
	end()
	if err == nil {
		return
	}
	b.tell(failure{
		err: err, file: file, several: several, report: report,
		keyEnv: b.m.KeyEnv(), keyFrom: b.cfg.KeySource(), base: b.opts.base,
	})
}

// tell says what went wrong, one failure at a time.
func (b *batch) tell(f failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.code = worse(b.code, b.app.tell(f))
}

// stdin is what stands for standard input on the command line.
const stdin = "-"

// listed reads the names of files from a file, or from standard input: one a
// line, or, where there is a NUL among them, with a NUL behind each.
func (a *app) listed(from string) ([]string, error) {
	in := a.stdin
	if from != stdin {
		f, err := os.Open(from)
		if err != nil {
			return nil, fmt.Errorf("--files-from %s: %w: %w", from, upload.ErrNoInput, errors.Unwrap(err))
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("--files-from %s: %w: %w", from, upload.ErrNoInput, err)
	}
	var names []string
	add := func(name string) {
		if name == stdin {
			name = "." + string(os.PathSeparator) + name // a file of that name
		}
		if name != "" {
			names = append(names, name)
		}
	}
	if bytes.IndexByte(b, 0) >= 0 {
		for name := range strings.SplitSeq(string(b), "\x00") {
			add(name)
		}
		return names, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		add(strings.TrimSuffix(lines.Text(), "\r"))
	}
	return names, lines.Err()
}
