package e2e

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

// A file that changes while its third part of five is on its way: exit 65, and
// no object of two versions. The next run sends what differs, and no more.
func TestFileChangesWhileItIsSent(t *testing.T) {
	t.Parallel()
	const part = 64 << 10
	patch := func(off int64) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte("another version"), off)
				err = errors.Join(err, f.Close())
			}
			return err
		}
	}
	touch := func(path string) error {
		at := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
		return os.Chtimes(path, at, at)
	}
	replace := func(change func(string) error) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path+".new", b, 0o600), change(path+".new"),
				os.Chtimes(path+".new", fi.ModTime(), fi.ModTime()), os.Rename(path+".new", path))
		}
	}
	for what, c := range map[string]struct {
		api    string
		change func(path string) error
		then   func(path string) error // before the next run
		again  bool                    // it is written again before the next run
		puts   int                     // of the next run
		open   bool                    // what Windows does not allow on an open file
	}{
		"grown": {change: func(p string) error {
			f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write(make([]byte, 1000))
				err = errors.Join(err, f.Close())
			}
			return err
		}, puts: 6},
		"shrunk":                           {change: func(p string) error { return os.Truncate(p, 4*part) }, puts: 4},
		"truncated where it is read":       {change: func(p string) error { return os.Truncate(p, 2*part+part/2) }, puts: 3},
		"emptied":                          {change: func(p string) error { return os.Truncate(p, 0) }, puts: 1},
		"changed where it was sent":        {change: patch(10), puts: 3},
		"changed where it is to be sent":   {change: patch(4*part + 10), puts: 2},
		"changed, its time set back":       {change: func(p string) error { return errors.Join(patch(10)(p), touch(p)) }, puts: 3},
		"touched":                          {change: touch, puts: 2},
		"replaced by another of its looks": {change: replace(patch(10)), puts: 3, open: true},
		"replaced by the same":             {change: replace(func(string) error { return nil }), puts: 2, open: true},
		"deleted":                          {change: func(p string) error { return os.Rename(p, p+".gone") }, then: func(p string) error { return os.Rename(p+".gone", p) }, puts: 2, open: true},
		// Archetype lets no client replace a checkpointed part: it starts over.
		"changed, where parts are remembered": {api: "archetype", change: patch(10), puts: 5},
		"touched, where parts are remembered": {api: "archetype", change: touch, puts: 2},
	} {
		t.Run(what, func(t *testing.T) {
			if c.open && runtime.GOOS == "windows" {
				t.Skip("Windows does not allow that while the file is open")
			}
			t.Parallel()
			if c.api == "" {
				c.api = "upscayl"
			}
			r := newRig(t, c.api, part)
			// Half of the third part is read, and then nothing, until the process ends.
			began := r.watched(t, "put@part=3:stall=32768")
			file := r.file(t, 5*part)
			args := []string{"upload", file, "-p", c.api, "-j", "1", "--stall-timeout", "1s"}
			p := r.start(t, args...)
			await(t, began, sandbox.StepPut, 3)
			if err := c.change(file); err != nil {
				t.Fatal(err)
			}
			if code := p.ends(t, time.Minute); code != exitData || !strings.Contains(p.messages.String(), "the file changed") || p.out.String() != "" {
				t.Fatalf("exit code %d: %s%s", code, &p.out, &p.messages)
			}
			if n := len(r.objects(t)); n != 0 || len(r.server.Faults.Unfired()) > 0 {
				t.Fatalf("%d objects; these did not happen: %v", n, r.server.Faults.Unfired())
			}
			if c.then != nil {
				if err := c.then(file); err != nil {
					t.Fatal(err)
				}
			}
			if c.again {
				r.file(t, 5*part)
			}
			before := r.puts()
			if _, messages, code := r.said(t, args...); code != 0 {
				t.Fatalf("the next run: exit code %d: %s", code, messages)
			}
			if n := r.puts() - before; n != c.puts {
				t.Errorf("the next run sent %d parts, want %d", n, c.puts)
			}
			r.cmpObject(t, file)
		})
	}
}
