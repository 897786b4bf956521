package upload_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// kinds are the shapes of API there are.
var kinds = map[string]func(r *rig){
	"planned by the server": func(*rig) {},
	"numbered from 0":       func(r *rig) { r.cloud.first = 0 },
	"planned by us":         func(r *rig) { r.cloud.partSize, r.partSize = 0, 1000 },
	"urls with create":      func(r *rig) { r.cloud.signed = true },
	"urls once":             func(r *rig) { r.cloud.renewable = false },
	"checkpoints":           func(r *rig) { r.checkpoints() },
	"crc32c":                func(r *rig) { r.cloud.digest = upload.DigestCRC32C; r.checkpoints() },
	"md5":                   func(r *rig) { r.cloud.digest = upload.DigestMD5 },
	"sha1":                  func(r *rig) { r.cloud.digest = upload.DigestSHA1 },
	"opaque receipts":       func(r *rig) { r.cloud.etag = tokenETag },
	"asked at the end":      func(r *rig) { r.askable() },
	"one at a time":         func(r *rig) { r.concurrency = 1 },
	"without checksums":     func(r *rig) { r.checksum = upload.ChecksumOff },
}

func TestRoundTrip(t *testing.T) {
	for kind, set := range kinds {
		for _, size := range []int{0, 1, 999, 1000, 1001, 2000, 10_500} {
			t.Run(fmt.Sprintf("%s, %d bytes", kind, size), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, size)
					set(r)
					rep := r.ok()
					r.once(rep.Upload)
					parts := max(1, (size+999)/1000)
					if rep.Parts != parts || rep.PartsReused != 0 || rep.BytesSent != int64(size) || rep.File.Path != r.path || rep.File.Name != "file.bin" || rep.Provider != "cloud" {
						t.Errorf("report %+v", rep)
					}
					if n := len(told[upload.Stored](r)); n != parts {
						t.Errorf("%d parts told of as stored, want %d", n, parts)
					}
					var sent int64
					for _, e := range told[upload.Sent](r) {
						sent += e.Bytes
					}
					if sent != int64(size) {
						t.Errorf("%d bytes told of as sent, want %d", sent, size)
					}
					if len(told[upload.Planned](r)) != 1 || len(told[upload.Finishing](r)) != 1 || len(told[upload.Finished](r)) != 1 || len(told[upload.Warning](r)) != 0 {
						t.Errorf("events %+v", r.events)
					}
					if len(r.delivered) != 1 || r.delivered[0].Result.Value != rep.Result.Value || r.delivered[0].BytesSent != int64(size) {
						t.Errorf("delivered %+v", r.delivered)
					}
					if r.cloud.mostPutting > r.concurrency {
						t.Errorf("%d parts at once, want %d", r.cloud.mostPutting, r.concurrency)
					}
					// It was delivered: the same again is a new upload.
					if again := r.ok(); again.Upload == rep.Upload || again.PartsReused != 0 {
						t.Errorf("the second time: %+v", again)
					}
				})
			})
		}
	}
}

func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(r *rig)
		want error
	}{
		"file too large":            {func(r *rig) { r.cloud.limits.MaxSize = 2999 }, upload.ErrLimit},
		"file too small":            {func(r *rig) { r.cloud.limits.MinSize = 3001 }, upload.ErrLimit},
		"part size above the limit": {func(r *rig) { r.cloud.limits.MaxPart, r.partSize = 999, 1000 }, upload.ErrPartSize},
		"part size below the limit": {func(r *rig) { r.cloud.limits.MinPart, r.partSize = 1001, 1000 }, upload.ErrPartSize},
		"no file":                   {func(r *rig) { r.path += ".not" }, upload.ErrNoInput},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 3000)
			test.set(r)
			_, err := r.run(t.Context())
			if !errors.Is(err, test.want) || r.cloud.creates != 0 || len(r.journal.writes) != 0 {
				t.Errorf("error %v, %d creates, journal %v; want %v and nothing done", err, r.cloud.creates, r.journal.writes, test.want)
			}
		})
	}
}

// A part size that is not a multiple is rounded, which is said, and the same
// command again resumes with the parts that it has.
func TestPartSizeIsRounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.cloud.partSize, r.partSize, r.cloud.limits.Multiple = 0, 500, 400
		stop := errors.New("stop")
		r.cloud.onComplete = func(n int) error {
			if n == 1 {
				return fmt.Errorf("%w: %w", upload.ErrRefused, stop)
			}
			return nil
		}
		if _, err := r.run(t.Context()); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if e := told[upload.PartSizeIgnored](r); len(e) != 1 || e[0].Has != 800 || e[0].Multiple != 400 {
			t.Errorf("told %+v", e)
		}
		if rep := r.ok(); rep.Parts != 4 || rep.PartsReused != 4 || len(told[upload.PartSizeIgnored](r)) != 0 {
			t.Errorf("%+v, told %+v", rep, told[upload.PartSizeIgnored](r))
		}
		// A provider that makes the plan is asked for the size that it takes.
		r = newRig(t, 3000)
		r.cloud.partSize, r.cloud.wants, r.partSize, r.cloud.limits.Multiple = 1200, true, 500, 400
		if rep := r.ok(); rep.Parts != 4 {
			t.Errorf("%+v", rep)
		}
	})
}

// An error of a stream names no internal path.
func TestErrorsOfAStream(t *testing.T) {
	r := newRig(t, 3000)
	r.cloud.limits.MinSize = 3001
	_, err := r.from(t.Context(), -1, 1<<20)
	if want := "standard input has 3000 bytes, and"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// The upload is open at the provider by then: it is aborted, and nothing is
// left of it.
func TestUnusablePlans(t *testing.T) {
	for name, test := range map[string]struct {
		provider func(c *cloud) upload.Provider
		set      func(r *rig)
		want     error
		plan     bool // is a *PlanError
		left     bool // the upload is left alone: it may be another's
	}{
		"does not tile":          {provider: func(c *cloud) upload.Provider { return misplanned{c} }, want: upload.ErrReply, plan: true},
		"fails with its upload":  {provider: func(c *cloud) upload.Provider { return halfCreated{c} }, want: upload.ErrReply},
		"urls missing":           {provider: func(c *cloud) upload.Provider { c.renewable = false; return unsigned{c} }, want: upload.ErrReply},
		"held and unverifiable":  {set: func(r *rig) { r.cloud.held = []upload.Range{{Offset: 0, Size: 1000}} }, want: upload.ErrUnverified, left: true},
		"held and does not tile": {provider: func(c *cloud) upload.Provider { c.held = []upload.Range{{Offset: 0, Size: 1500}}; return c }, want: upload.ErrReply, plan: true, left: true},
		"more parts than may be": {set: func(r *rig) { r.cloud.partSize, r.partSize, r.cloud.limits.MaxParts = 0, 100, 29 }, want: upload.ErrPartSize},
		"journal does not take it": {set: func(r *rig) {
			r.journal.fail = func(kind string) error { return errors.New("disk full") }
		}, want: upload.ErrJournal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				if test.set != nil {
					test.set(r)
				}
				if test.provider != nil {
					r.provider = test.provider(r.cloud)
				}
				rep, err := r.run(t.Context())
				if !errors.Is(err, test.want) || errors.As(err, new(*upload.PlanError)) != test.plan {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if rep.Upload != "u1" && name != "fails with its upload" {
					t.Errorf("report %+v", rep)
				}
				if n := len(r.cloud.aborted); (n == 1) == test.left || n > 1 {
					t.Errorf("%d aborted", n)
				}
				if len(r.journal.records) != 0 || len(r.cloud.counts("u1")) != 0 {
					t.Errorf("something was sent or recorded")
				}
			})
		})
	}
}
