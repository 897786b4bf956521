package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/sandbox"
)

var kills = flag.Int("kills", 40, "how often TestKillAtRandom kills multiput: go test ./pkg/internal/e2e -run TestKill -v -timeout 0 -kills 5000")

// backend is an API with a store behind it, at which multiput is killed.
type backend struct {
	api  string
	real bool  // MinIO instead of the sandbox's own
	part int64 // bytes
}

// backends are the four APIs, and real stores behind those whose parts go to one.
func backends() []backend {
	list := []backend{
		{"archetype", false, 64 << 10}, {"fileai", false, 64 << 10}, {"upscayl", false, 64 << 10}, {"openai", false, 64 << 10},
	}
	if !testing.Short() {
		list = append(list, backend{"archetype", true, 5 << 20}, backend{"fileai", true, 5 << 20}, backend{"upscayl", true, 5 << 20})
	}
	return list
}

func (w backend) String() string {
	if w.real {
		return w.api + " on MinIO"
	}
	return w.api
}

// parts are whole ones, and a short one. Those that S3 takes are large.
func (w backend) parts() int64 {
	if w.real {
		return 3
	}
	return 5
}

func (w backend) size() int64 { return (w.parts()-1)*w.part + w.part/2 }

// inFlight is how many parts are sent at once.
const inFlight = 2

// killedUpload is an upload whose processes are killed.
type killedUpload struct {
	*rig
	backend
	file   string
	killed int
}

func (w backend) open(t *testing.T, server realstore.Server) *killedUpload {
	t.Helper()
	s := &sandbox.Server{API: w.api, PartSize: w.part}
	d := &killedUpload{backend: w}
	if w.real {
		d.rig = onReal(t, server, s)
	} else {
		d.rig = rigFor(t, s)
	}
	d.file = d.rig.file(t, w.size())
	return d
}

// start starts the same command again.
func (d *killedUpload) start(t *testing.T) *life {
	t.Helper()
	args := []string{"upload", d.file, "-p", d.api, "-j", fmt.Sprint(inFlight)}
	if d.api == "openai" {
		args = append(args, "--set", "purpose=batch", "--part-size", fmt.Sprint(d.part))
	}
	return d.launch(t, nil, "multiput", args...)
}

// end brings a killed upload to its end and looks at what came of it. told is
// what a killed process has printed: its upload is over, and the same command
// is a new one.
func (d *killedUpload) end(t *testing.T, told string) {
	t.Helper()
	code := 0
	if told == "" {
		p := d.start(t)
		if code = p.wait(t); code != 0 {
			t.Logf("after %d kills: exit code %d\n%s", d.killed, code, p.stderr.String())
		}
		told = p.stdout.String()
	}
	// What was under way comes to its end before it is counted.
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d.cmpObject(t, d.file)
	done, err := d.server.Finished()
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || len(done) != 1 || len(strings.Fields(told)) != 1 {
		t.Errorf("after %d kills: exit code %d, stdout %q, the API has %d completed uploads", d.killed, code, told, len(done))
	}
	if again := d.again(); again > int64(d.killed*inFlight)*d.part {
		t.Errorf("after %d kills, %d bytes were sent again: more than %d parts of %d for each", d.killed, again, inFlight, d.part)
	}
}

// form is at most what the form around one of OpenAI's parts takes.
const form = 512

// again is how many bytes the store was sent more than once, stored or not.
func (d *killedUpload) again() int64 {
	came := int64(0)
	for _, q := range d.server.Requests() {
		switch {
		case q.Step != sandbox.StepPut || strings.Contains(q.Fault, "expire"):
		case d.api == "openai":
			came += max(0, q.Bytes-form)
		default:
			came += q.Bytes
		}
	}
	return came - d.size()
}

// TestKillAtEveryStep kills multiput at every request that an upload makes:
// before the server acts, and after it acted but before it answers.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	var server realstore.Server
	if !testing.Short() {
		server = realstore.MinIO(t)
	}
	var killed atomic.Int64
	t.Run("backends", func(t *testing.T) { // MinIO ends after all of them
		for _, w := range backends() {
			steps := []string{"create", "put", "put@after=2", "put@after=4", "complete"}
			if w.real {
				steps = []string{"put@after=1", "complete"}
			}
			if w.api == "archetype" {
				steps = append(steps, "presign", "checkpoint")
			}
			for _, step := range steps {
				for _, kind := range []string{"kill", "kill-late"} {
					t.Run(fmt.Sprintf("%s/%s:%s", w, step, kind), func(t *testing.T) {
						t.Parallel()
						d := w.open(t, server)
						if step == "presign" {
							d.fault(t, "put@after=1:expire")
						}
						d.fault(t, step+":"+kind)
						if code := d.start(t).wait(t); code == 0 {
							t.Fatal("it was not killed")
						}
						d.killed = 1
						killed.Add(1)
						d.end(t, "")
					})
				}
			}
			if w.real {
				t.Run(w.String()+"/in the middle of a part", func(t *testing.T) {
					t.Parallel()
					d := w.open(t, server)
					// 100 kB are taken and no more: the rest of the part is still here.
					d.fault(t, "put@after=1:stall=100k")
					d.at(2, 20*time.Millisecond, sandbox.StepPut, false)
					if code := d.start(t).wait(t); code == 0 {
						t.Fatal("it was not killed")
					}
					d.killed = 1
					killed.Add(1)
					d.end(t, "")
				})
			}
		}
	})
	t.Logf("%d kills", killed.Load())
}

// at has the process killed a moment after the n-th event of a step, of any
// step if it is empty, has come; of either kind if both.
func (d *killedUpload) at(n int, delay time.Duration, step string, both bool) {
	var (
		mu   sync.Mutex
		seen int
	)
	f := func(q sandbox.Request, after bool) {
		if step != "" && q.Step != step || after && !both {
			return
		}
		mu.Lock()
		seen++
		mine := seen == n
		mu.Unlock()
		switch {
		case mine && delay > 0:
			time.AfterFunc(delay, d.kill)
		case mine:
			d.kill()
		}
	}
	d.onEvent.Store(&f)
}

// TestKillBeforeCompleteIsAnswered: complete was acted on, the process died
// before the answer, and from then on the API knows no such upload. Where it
// can be asked how the upload ended, the next run asks, and it is done. Where
// not, the outcome is unknown, and each run reports that. No part is sent.
func TestKillBeforeCompleteIsAnswered(t *testing.T) {
	t.Parallel()
	for api, asked := range map[string]bool{"archetype": false, "fileai": true, "openai": false, "upscayl": false} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			d := backend{api, false, 64 << 10}.open(t, realstore.Server{})
			d.fault(t, "complete:kill-late")
			runs, want := 1, 0
			if !asked {
				d.fault(t, "complete@times=all:once")
				runs, want = 2, exitDoubt
			}
			if code := d.start(t).wait(t); code == 0 {
				t.Fatal("it was not killed")
			}
			for range runs {
				p := d.start(t)
				if code := p.wait(t); code != want || (p.stdout.String() != "") != asked {
					t.Errorf("exit code %d, stdout %q, want %d\n%s", code, p.stdout.String(), want, p.stderr.String())
				}
			}
			steps := map[string]int{}
			for _, q := range d.server.Requests() {
				steps[q.Step]++
			}
			if steps[sandbox.StepPut] != int(d.parts()) || asked != (steps[sandbox.StepStatus] > 0) || asked != (steps[sandbox.StepComplete] == 1) {
				t.Errorf("requests: %v", steps)
			}
			d.cmpObject(t, d.file)
		})
	}
}

// TestKillAtRandom kills multiput at random moments, several times in a row on
// one upload. The moments are counted in what the server sees, and a little
// later, so that a busy machine does not move them all to the start.
func TestKillAtRandom(t *testing.T) {
	t.Parallel()
	budget := *kills
	if testing.Short() {
		budget = min(budget, 8)
	}
	list := backends()
	for i, w := range list {
		mine := budget / len(list)
		if i < budget%len(list) {
			mine++
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			var c counts
			for n := 0; c.kills < mine && !t.Failed(); n++ {
				// A store of its own for some uploads, or its disk would fill.
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					var server realstore.Server
					if w.real {
						server = realstore.MinIO(t)
					}
					for m := 0; m < 30 && c.kills < mine && !t.Failed(); m++ {
						t.Run(fmt.Sprint(m), func(t *testing.T) { c.add(killRow(t, w, server, mine-c.kills)) })
					}
				})
			}
			t.Logf("%s: %d kills of %d uploads, %d ends that were too early to be killed; %.2f parts sent again a kill, at most %d allowed",
				w, c.kills, c.uploads, c.missed, float64(c.again)/float64(w.part)/float64(max(c.kills, 1)), inFlight)
		})
	}
}

// counts are what came of many uploads.
type counts struct {
	kills, uploads, missed int
	again                  int64
}

func (c *counts) add(more counts) {
	c.kills += more.kills
	c.uploads += more.uploads
	c.missed += more.missed
	c.again += more.again
}

// killRow kills the processes of one upload, at most so many, and brings it to
// its end.
func killRow(t *testing.T, w backend, server realstore.Server, most int) (c counts) {
	t.Helper()
	d := w.open(t, server)
	c.uploads = 1
	told := ""
	for range min(most, 1+rand.IntN(6)) {
		event, delay := 1+rand.IntN(2*(int(w.parts())+2)), time.Duration(0)
		if rand.IntN(2) > 0 {
			delay = rand.N(5 * time.Millisecond)
			if w.real {
				delay *= 8
			}
		}
		d.at(event, delay, "", true)
		p := d.start(t)
		code := p.wait(t)
		d.onEvent.Store(nil)
		if code == 0 {
			c.missed++
			told = p.stdout.String()
			break
		}
		d.killed++
		c.kills++
		if told = p.stdout.String(); told != "" {
			break
		}
		if code > 1 { // a killed one has -1; 1 where there are no signals
			t.Fatalf("killed at event %d + %s: exit code %d\n%s", event, delay, code, p.stderr.String())
		}
	}
	d.end(t, told)
	if t.Failed() {
		for _, q := range d.server.Requests() {
			t.Log(q)
		}
	}
	c.again = max(0, d.again())
	return c
}
