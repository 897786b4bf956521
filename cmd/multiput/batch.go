package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// batch connects each file to the uploader that sends it and to the display that
// reports it.
type batch struct {
	app  *app
	cfg  config.Config
	out  *output
	show *progress.Display
	sums *sums // nil: not requested
	code int

	stdoutFailed bool // and the error was reported
}

// run uploads the files and returns the exit code.
func (b *batch) run(ctx context.Context, jobs iter.Seq[upload.Job]) int {
	(&upload.Batch{Concurrency: b.cfg.Concurrency}).Upload(ctx, jobs) //nolint:errcheck // end reports it
	return b.code
}

// files returns the jobs that upload files to one provider.
func (b *batch) files(files iter.Seq[input], several bool, to *upload.Uploader, d *provider.Definition, o uploadOptions) iter.Seq[upload.Job] {
	return func(yield func(upload.Job) bool) {
		for in := range files {
			file := in.path
			job := upload.Job{File: upload.File{Path: file, Name: cmp.Or(o.name, in.name), Type: b.cfg.ContentType}}
			if file == stdin {
				job.In, job.Size, job.Spool = b.app.stdin, o.size, upload.Spool{Dir: o.spoolDir, Limit: o.spoolLimit, SHA256: to.SHA256}
			}
			end := func() {}
			f := failure{
				file: file, name: o.name, piped: file == stdin && job.Spool.Needed(job.In), several: several || in.walked,
				keyEnv: d.KeyEnv(), keyFrom: b.cfg.KeySource(), base: o.base,
				sized: b.cfg.PartSize > 0, limited: b.cfg.LimitRate > 0,
			}
			job.Open = func(context.Context) (*upload.Uploader, error) {
				if in.err != nil {
					return nil, in.err
				}
				u := *to
				end = b.watch(&u, f)
				if file == stdin {
					b.app.warnOfStream(&u, job, b.show.Warn)
				}
				if name := cmp.Or(job.File.Name, filepath.Base(file)); !utf8.ValidString(name) {
					b.show.Warn(fmt.Sprintf("%s: its name is not UTF-8, so the provider may store it under another one", transport.Visible(file)))
				}
				return &u, nil
			}
			job.Done = func(r upload.Report, err error) {
				end()
				f.err, f.report = err, r
				b.end(f)
			}
			if !yield(job) {
				return
			}
		}
	}
}

// watch shows the events and the result of a file. The caller calls end when the
// file is done.
func (b *batch) watch(u *upload.Uploader, f failure) (end func()) {
	file := f.file
	b.show.To(hostOf(u.Target.Base))
	observe, hide := b.show.File(file)
	observe = b.app.actions.Observe(file, b.app.json || b.cfg.Quiet, observe)
	observe, sure := b.app.outcomes.watch(failure{file: file, piped: f.piped}, observe)
	u.Observe = observe
	u.Deliver = func(ctx context.Context, r upload.Report) error {
		if err := b.sums.write(file, r.SHA256); err != nil {
			return err
		}
		return b.app.aside(b.show, func() error { return b.out.print(ctx, file, r) })
	}
	return func() { sure(); hide() }
}

// end reports the error of a file, if there is one. A closed stdout is reported
// once.
func (b *batch) end(f failure) {
	b.sums.ended(f.err)
	if f.err == nil || b.stdoutFailed && errors.Is(f.err, upload.ErrStop) {
		return
	}
	b.stdoutFailed = b.stdoutFailed || errors.Is(f.err, upload.ErrStop)
	b.code = worse(b.code, b.app.tell(f))
}

// stdin is the argument that means standard input.
const stdin = "-"
