//go:build linux || darwin

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// TestNoFileDescriptors: a process that may not open more files ends well, or
// says so and loses nothing. It never hangs and never calls it a failure of the
// upload.
func TestNoFileDescriptors(t *testing.T) {
	t.Parallel()
	felt := 0
	for _, limit := range []int{9, 12, 14, 16, 20, 24, 32, 40} {
		r := rigFor(t, &sandbox.Server{API: "archetype", PartSize: 64 << 10})
		file := r.file(t, 40*64<<10)
		command := []string{"upload", file, "-p", "archetype", "-j", "16"}
		p := r.launch(t, nil, "sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec multiput "$@"`, limit), "sh"}, append(command, "-v", "--retries", "2")...)...)
		code := p.wait(t)
		said := p.stderr.String()
		short := regexp.MustCompile(`(?i)too many open files`).MatchString(said)
		t.Logf("with %d files: exit code %d, %d parts stored; it was felt: %t", limit, code, r.puts(), short)
		if !slices.Contains([]int{0, exitJournal, exitAgain}, code) {
			t.Errorf("with %d files: exit code %d\n%s", limit, code, said)
		}
		if short {
			felt++
		}
		if code == 0 {
			r.cmpObject(t, file)
			continue
		}
		stored := r.puts()
		if out, code := r.life(t, nil, command...); code != 0 {
			t.Errorf("with %d files before: exit code %d, %s", limit, code, out)
		}
		if n := r.puts(); n > 40+16 {
			t.Errorf("%d parts were stored, then %d of 40", stored, n-stored)
		}
		r.cmpObject(t, file)
	}
	if felt == 0 {
		t.Error("no limit was felt: nothing was tested")
	}
}
